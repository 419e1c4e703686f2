import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFile } from 'node:fs/promises';
import { connect, type Socket } from 'node:net';
import { LocalSpipedKeeper, readKeyFile } from '@keymux/keys';
import { formatPipeAddress, type PipeReport, PipeServer, type PipeServerOptions } from '@keymux/pipe';
import type { Scope } from './scope.ts';
import { tcpServer } from './servers.ts';

/** Whether Debian's spiped and spipe are absent. */
export const spipedMissing = ((): boolean => {
  try {
    execFileSync('spiped', ['-v'], { stdio: 'ignore' });
    return false;
  } catch (error) {
    return (error as { code?: string }).code === 'ENOENT';
  }
})();

/** Starts the real spiped behind a Unix socket, whose path it returns. Its parent process ends when it listens. */
export async function startSpiped(
  scope: Scope,
  mode: '-e' | '-d',
  target: string,
  key: string,
): Promise<string> {
  const file = await scope.directory();
  const args = [mode, '-s', file('source'), '-t', target, '-k', key, '-p', file('pid')];
  const parent = spawn('spiped', args, { cwd: file('.'), stdio: 'ignore' });
  const [code] = (await once(parent, 'exit')) as [number | null];
  if (code !== 0) throw new Error(`spiped ended with status ${code}`);
  const pid = Number(await readFile(file('pid'), 'utf8'));
  scope.defer(() => process.kill(pid, 'SIGKILL'));
  return file('source');
}

/** A pipe of ours that listens on a free port of loopback, or where `listen` says. */
export async function startPipe(
  scope: Scope,
  key: string,
  options: Omit<PipeServerOptions, 'keeper'>,
  listen = { host: '127.0.0.1', port: 0 } as Parameters<PipeServer['listen']>[0],
): Promise<{ server: PipeServer; address: string; ends: PipeReport[] }> {
  const keeper = new LocalSpipedKeeper({ key: (await readKeyFile(key)).key });
  const server = new PipeServer({ keeper, ...options });
  const ends: PipeReport[] = [];
  server.on('end', (report) => ends.push(report));
  const address = await server.listen(listen);
  scope.defer(() => server.destroy());
  return {
    server,
    address:
      typeof address === 'string'
        ? address
        : formatPipeAddress({ host: address.address, port: address.port }),
    ends,
  };
}

/** A server on loopback that sends everything back. Sockets that it has taken are in `sockets`. */
export async function echo(scope: Scope): Promise<{ address: string; sockets: Socket[] }> {
  const sockets: Socket[] = [];
  const port = await tcpServer(scope, (socket) => {
    sockets.push(socket);
    socket.pipe(socket);
  });
  return { address: `[127.0.0.1]:${port}`, sockets };
}

/** Connects to an address as spiped writes it; half-closed connections stay open. */
export function dial(scope: Scope, address: string): Socket {
  const [, host, port] = /^\[(.*)\]:(\d+)$/.exec(address) ?? [];
  const place = host === undefined ? { path: address } : { host, port: Number(port) };
  const socket = connect({ ...place, allowHalfOpen: true });
  socket.on('error', () => undefined); // whoever reads learns of it
  scope.defer(() => socket.destroy());
  return socket;
}

/** Everything that comes until the other side ends or breaks off; `broken` tells which. The socket stays open for writing. */
export function allOf(socket: Socket): Promise<{ readonly text: string; readonly broken: boolean }> {
  const came: Buffer[] = [];
  socket.on('data', (bytes: Buffer) => came.push(bytes));
  return new Promise((resolve) => {
    const settle = (broken: boolean) => () => resolve({ text: Buffer.concat(came).toString(), broken });
    socket.once('end', settle(false)).once('close', settle(true));
  });
}

type Direction = 'client' | 'server';

/**
 * Somebody between two spipeds who knows where messages begin: 32 and 288 bytes of handshake, then packets of 1,060. `alter` gets message
 * `index` of the direction from `client` or `server`, and returns what is passed on in its place; null cuts the connection there.
 */
export async function startMiddle(
  scope: Scope,
  target: string,
  alter: (from: Direction, index: number, message: Buffer) => Buffer[] | null,
): Promise<string> {
  const port = await tcpServer(scope, (client) => {
    const server = dial(scope, target);
    carry('client', client, server);
    carry('server', server, client);
  });
  return `[127.0.0.1]:${port}`;

  function carry(from: Direction, source: Socket, sink: Socket): void {
    let [index, pending] = [0, Buffer.alloc(0)];
    source.on('data', (bytes: Buffer) => {
      pending = Buffer.concat([pending, bytes]);
      for (let length = lengthOf(index); pending.length >= length; length = lengthOf(index)) {
        const passed = alter(from, index++, Buffer.from(pending.subarray(0, length)));
        pending = pending.subarray(length);
        if (passed === null) {
          source.destroy();
          sink.end();
          return;
        }
        for (const part of passed) sink.write(part);
      }
    });
    source.on('end', () => sink.end());
    source.on('error', () => (sink.remoteFamily === undefined ? sink.destroy() : sink.resetAndDestroy()));
  }
}

function lengthOf(index: number): number {
  return [32, 288][index] ?? 1060;
}
