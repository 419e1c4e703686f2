import { once } from 'node:events';
import { connect as connectTcp, createServer } from 'node:net';
import { type Duplex, pipeline } from 'node:stream';
import transport from 'spdy-transport';
import type { Connection, Contender, Dialer } from '../contender.ts';
import { listen } from './tcp.ts';

const LOCALHOST = '127.0.0.1';
const OPTIONS = { protocol: 'spdy', windowSize: 4 * 2 ** 20 } as const;

/** A CONNECT proxy over clear SPDY/3.1. */
export function proxy({ origin }: { origin: number }): Promise<number> {
  return listen(
    createServer({ noDelay: true }, (socket) => {
      const connection = transport.connection.create(socket, { ...OPTIONS, isServer: true });
      connection.start(3.1);
      connection.on('error', () => undefined);
      connection.on('stream', (stream) => {
        stream.respond(200, {});
        const onward = connectTcp({ host: LOCALHOST, port: origin, noDelay: true, allowHalfOpen: true });
        const done = (): void => undefined;
        pipeline(stream, onward, done);
        pipeline(onward, stream, done);
      });
    }),
  );
}

export function client({ proxy, origin }: { proxy: number; origin: number }): Dialer {
  return {
    connect: async (): Promise<Connection> => {
      const socket = connectTcp({ host: LOCALHOST, port: proxy, noDelay: true });
      await once(socket, 'connect');
      const connection = transport.connection.create(socket, { ...OPTIONS, isServer: false });
      connection.start(3.1);
      connection.on('error', () => undefined);
      const open = () =>
        new Promise<Duplex>((resolve, reject) => {
          const path = `${LOCALHOST}:${origin}`;
          connection.request({ method: 'CONNECT', path, host: path, headers: {} }, (error, stream) => {
            if (error) return reject(error);
            stream.once('response', () => resolve(stream));
          });
        });
      return { open, close: () => socket.destroy() };
    },
  };
}

export const contenders: readonly Contender[] = [
  {
    name: 'spdy-transport',
    title: 'npm spdy-transport 3.0.0, in the clear (P6)',
    protection: 'none',
    async start(stage) {
      const { port: origin } = await stage.node('origin', 'tcp', 'origin', {});
      const { port: proxy } = await stage.node('proxy', 'spdy-transport', 'proxy', { origin });
      return { module: 'spdy-transport', params: { proxy: await stage.reach(proxy), origin } };
    },
  },
];
