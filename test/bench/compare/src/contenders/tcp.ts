import { once } from 'node:events';
import { type AddressInfo, connect, createServer, type Server } from 'node:net';
import { pipeline } from 'node:stream';
import type { Contender, Dialer } from '../contender.ts';
import { serveTask } from '../task.ts';

const SERVER = { noDelay: true, allowHalfOpen: true };

export async function listen(server: Server): Promise<number> {
  server.listen({ port: 0, host: '127.0.0.1', backlog: 4096 });
  await once(server, 'listening');
  return (server.address() as AddressInfo).port;
}

/** An origin that protects nothing. */
export function origin(): Promise<number> {
  return listen(createServer(SERVER, (socket) => void serveTask(socket)));
}

/** A relay in Node: one TCP connection to the origin for each from the client. */
export function relay({ port }: { port: number }): Promise<number> {
  return listen(
    createServer(SERVER, (socket) => {
      const onward = connect({ port, host: '127.0.0.1', ...SERVER });
      const done = (): void => undefined;
      pipeline(socket, onward, done);
      pipeline(onward, socket, done);
    }),
  );
}

/** A client whose every stream is a TCP connection. */
export function client({ port }: { port: number }): Dialer {
  const open = async () => {
    const socket = connect({ port, host: '127.0.0.1', ...SERVER });
    await once(socket, 'connect');
    return socket;
  };
  return { connect: async () => ({ open, close: () => undefined }) };
}

export const contenders: readonly Contender[] = [
  {
    name: 'tcp',
    title: 'TCP without a proxy',
    protection: 'none',
    async start(stage) {
      const { port } = await stage.node('origin', 'tcp', 'origin', {});
      return { module: 'tcp', params: { port: await stage.reach(port) } };
    },
  },
  {
    name: 'relay',
    title: 'TCP relay in Node (P0)',
    protection: 'none',
    async start(stage) {
      const behind = await stage.node('origin', 'tcp', 'origin', {});
      const { port } = await stage.node('proxy', 'tcp', 'relay', { port: behind.port });
      return { module: 'tcp', params: { port: await stage.reach(port) } };
    },
  },
];
