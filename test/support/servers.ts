import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFile } from 'node:fs/promises';
import { createServer as createHttpServer, type Server as HttpServer, type RequestListener } from 'node:http';
import { createServer as createHttpsServer } from 'node:https';
import { type AddressInfo, connect, createServer, type Server, type Socket } from 'node:net';
import { run } from './processes.ts';
import type { Scope } from './scope.ts';

/** Listens on a free port of loopback; returns it. Whatever is still connected at the end is cut off. */
export async function listen(scope: Scope, server: Server): Promise<number> {
  const sockets = new Set<Socket>();
  server.on('connection', (socket) => {
    sockets.add(socket);
    socket.on('error', () => undefined);
    socket.once('close', () => sockets.delete(socket));
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  scope.defer(async () => {
    for (const socket of sockets) socket.destroy();
    if (server.listening) await new Promise((resolve) => server.close(resolve));
  });
  return (server.address() as AddressInfo).port;
}

/** A raw TCP server; half-closed connections stay open until `serve` ends them. */
export async function tcpServer(scope: Scope, serve: (socket: Socket) => void): Promise<number> {
  return listen(scope, createServer({ allowHalfOpen: true }, serve));
}

export async function httpServer(scope: Scope, serve: RequestListener): Promise<number> {
  return listen(scope, createHttpServer(serve) as HttpServer);
}

/** An HTTPS server with a certificate for localhost that nobody else knows. `ca` is the file to trust. */
export async function httpsServer(
  scope: Scope,
  serve: RequestListener,
): Promise<{ port: number; ca: string }> {
  const file = await scope.directory();
  const [key, ca] = [file('key.pem'), file('cert.pem')];
  const made = await run('openssl', [
    ...['req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', '-days', '2'],
    ...['-subj', '/CN=localhost', '-addext', 'subjectAltName=DNS:localhost,IP:127.0.0.1'],
    ...['-keyout', key, '-out', ca],
  ]);
  if (made.code !== 0) throw new Error(`openssl: ${made.stderr}`);
  const server = createHttpsServer({ key: await readFile(key), cert: await readFile(ca) }, serve);
  return { port: await listen(scope, server), ca };
}

/** A port that nothing listens on: it was free a moment ago, and the kernel gives it to nobody else for now. */
export async function closedPort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  await new Promise((resolve) => server.close(resolve));
  return port;
}

const NEVER_ACCEPTS = `
  const server = require('node:net').createServer();
  server.listen({ host: '127.0.0.1', port: 0, backlog: 1 }, () => console.log(server.address().port));
`;

/** A port where connecting neither succeeds nor fails: its owner is stopped and the kernel's queue is full. */
export async function silentPort(scope: Scope): Promise<number> {
  const child = spawn(process.execPath, ['-e', NEVER_ACCEPTS], { stdio: ['ignore', 'pipe', 'inherit'] });
  scope.defer(async () => {
    const exit = once(child, 'exit');
    child.kill('SIGKILL');
    await exit;
  });
  const [line] = (await once(child.stdout, 'data')) as [Buffer];
  const port = Number(String(line));
  child.kill('SIGSTOP');
  // A queue of length 1 holds two connections.
  for (let queued = 0; queued < 2; queued++) {
    const socket = connect(port, '127.0.0.1');
    scope.defer(() => socket.destroy());
    await once(socket, 'connect');
  }
  return port;
}
