import { once } from 'node:events';
import { createServer as createHttpsServer } from 'node:https';
import { connect as connectTcp, type Socket } from 'node:net';
import { pipeline } from 'node:stream';
import { type ConnectionOptions, connect, createSecureContext, createServer, type TLSSocket } from 'node:tls';
import { makeCertificate, readCertificate } from '../certificate.ts';
import type { Connection, Contender, Dialer } from '../contender.ts';
import { serveTask } from '../task.ts';
import { listen } from './tcp.ts';

interface Params {
  readonly directory: string;
  readonly origin: number;
  readonly proxy?: number;
}

const LOCALHOST = '127.0.0.1';
const TLS = { minVersion: 'TLSv1.3' } as const;

export function origin({ directory }: { directory: string }): Promise<number> {
  const options = { ...readCertificate(directory), ...TLS, noDelay: true, allowHalfOpen: true };
  return listen(createServer(options, (socket) => void serveTask(socket)));
}

/** An HTTPS proxy in Node that takes CONNECT. */
export function proxy({ directory }: { directory: string }): Promise<number> {
  const server = createHttpsServer({ ...readCertificate(directory), ...TLS, noDelay: true });
  server.on('connect', (request, socket: Socket) => {
    const [host, port] = (request.url ?? '').split(':');
    const onward = connectTcp({ host: host ?? '', port: Number(port), noDelay: true, allowHalfOpen: true });
    onward.once('connect', () => socket.write('HTTP/1.1 200 OK\r\n\r\n'));
    const done = (): void => undefined;
    pipeline(socket, onward, done);
    pipeline(onward, socket, done);
  });
  return listen(server);
}

export function client(params: Params): Dialer {
  // Shared, or each connection would parse the certificate again. No session is resumed: each handshake is a full one.
  const secureContext = createSecureContext({ ca: readCertificate(params.directory).cert, ...TLS });
  const common = { secureContext, servername: 'localhost' };
  const secured = async (options: ConnectionOptions): Promise<TLSSocket> => {
    const socket = connect({ ...common, ...options });
    await once(socket, 'secureConnect');
    socket.setNoDelay(true);
    return socket;
  };
  const open = async (): Promise<TLSSocket> => {
    if (params.proxy === undefined) return secured({ host: LOCALHOST, port: params.origin });
    const hop = await secured({ host: LOCALHOST, port: params.proxy });
    hop.write(`CONNECT ${LOCALHOST}:${params.origin} HTTP/1.1\r\nHost: ${LOCALHOST}\r\n\r\n`);
    await once(hop, 'data'); // its answer, alone: the origin does not speak first
    hop.pause();
    return secured({ socket: hop });
  };
  return {
    connect: async (): Promise<Connection> => {
      const opened: TLSSocket[] = [];
      const openAnother = async () => {
        const socket = await open();
        opened.push(socket);
        return socket;
      };
      return { open: openAnother, close: () => opened.forEach((socket) => void socket.destroy()) };
    },
  };
}

export const contenders: readonly Contender[] = [
  {
    name: 'tls-in-tls',
    title: 'TLS 1.3 in TLS 1.3, CONNECT proxy in Node (P1)',
    protection: 'end to end',
    async start(stage) {
      const { directory } = stage;
      makeCertificate(directory);
      const { port: origin } = await stage.node('origin', 'tls', 'origin', { directory });
      const { port: proxy } = await stage.node('proxy', 'tls', 'proxy', { directory });
      return {
        module: 'tls',
        params: { directory, origin, proxy: await stage.reach(proxy) } satisfies Params,
      };
    },
  },
];

export const sessionContenders: readonly Contender[] = [
  {
    name: 'tls',
    title: 'TLS 1.3 in Node, full handshakes, without a proxy',
    protection: 'end to end',
    async start(stage) {
      const { directory } = stage;
      makeCertificate(directory);
      const { port: origin } = await stage.node('origin', 'tls', 'origin', { directory });
      return { module: 'tls', params: { directory, origin } satisfies Params };
    },
  },
];
