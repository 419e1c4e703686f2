import { once } from 'node:events';
import { type ClientHttp2Session, connect, createSecureServer, type ServerHttp2Stream } from 'node:http2';
import { connect as connectTcp } from 'node:net';
import { pipeline } from 'node:stream';
import { makeCertificate, readCertificate } from '../certificate.ts';
import type { Connection, Contender, Dialer } from '../contender.ts';
import { listen } from './tcp.ts';

interface Params {
  readonly directory: string;
  readonly origin: number;
  readonly proxy: number;
}

const LOCALHOST = '127.0.0.1';
const WINDOW = 16 * 2 ** 20;
const SETTINGS = { initialWindowSize: WINDOW, maxConcurrentStreams: 20_000 };

/** A CONNECT proxy over HTTP/2 and TLS; it sees what it passes on. */
export function proxy({ directory }: { directory: string }): Promise<number> {
  const server = createSecureServer({ ...readCertificate(directory), settings: SETTINGS });
  server.on('session', (session) => session.setLocalWindowSize(WINDOW));
  server.on('stream', (stream: ServerHttp2Stream, headers) => {
    const [host, port] = (headers[':authority'] ?? '').split(':');
    const onward = connectTcp({ host: host ?? '', port: Number(port), noDelay: true, allowHalfOpen: true });
    onward.once('connect', () => stream.respond({ ':status': 200 }));
    const done = (): void => undefined;
    pipeline(stream, onward, done);
    pipeline(onward, stream, done);
  });
  return listen(server);
}

export function client({ directory, origin, proxy }: Params): Dialer {
  const { cert: ca } = readCertificate(directory);
  const open = async (session: ClientHttp2Session) => {
    const stream = session.request(
      { ':method': 'CONNECT', ':authority': `${LOCALHOST}:${origin}` },
      { endStream: false },
    );
    await once(stream, 'response');
    return stream;
  };
  return {
    connect: async (): Promise<Connection> => {
      const session = connect(`https://localhost:${proxy}`, { ca, settings: SETTINGS });
      await once(session, 'connect');
      session.setLocalWindowSize(WINDOW);
      return { open: () => open(session), close: () => session.destroy() };
    },
  };
}

export const contenders: readonly Contender[] = [
  {
    name: 'http2',
    title: 'CONNECT over HTTP/2 and TLS in Node (P2)',
    protection: 'hop',
    async start(stage) {
      const { directory } = stage;
      makeCertificate(directory);
      const { port: origin } = await stage.node('origin', 'tcp', 'origin', {});
      const { port: proxy } = await stage.node('proxy', 'http2', 'proxy', { directory });
      return {
        module: 'http2',
        params: { directory, origin, proxy: await stage.reach(proxy) } satisfies Params,
      };
    },
  },
];
