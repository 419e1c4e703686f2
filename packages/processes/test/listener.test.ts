import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { type AddressInfo, connect, createServer, type Server } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, expect, test } from 'vitest';
import { bindListener, type Listener } from '../src/index.ts';

const open: { close(): unknown }[] = [];
afterEach(() => {
  for (const one of open.splice(0)) one.close();
});

async function listenOn(target: object): Promise<Server> {
  const server = createServer((socket) => socket.end());
  open.push(server);
  server.listen(target);
  await once(server, 'listening');
  return server;
}

async function bind(options: Parameters<typeof bindListener>[0]): Promise<Listener> {
  const listener = await bindListener(options);
  open.push(listener);
  return listener;
}

test('what is bound accepts nothing before somebody listens', async () => {
  const { handle } = await bind({ host: '127.0.0.1', port: 0 });
  const name: { port?: number } = {};
  (handle as { getsockname(out: object): number }).getsockname(name);
  const refused = connect({ host: '127.0.0.1', port: name.port as number });
  expect(await once(refused, 'error')).toMatchObject([{ code: 'ECONNREFUSED' }]);
  const { port } = (await listenOn({ handle })).address() as AddressInfo;
  expect(port).toBe(name.port);
  await once(connect({ host: '127.0.0.1', port }), 'connect');
});

test('a port that is taken is refused, and not another one taken', async () => {
  const { port } = (await listenOn({ host: '127.0.0.1', port: 0 })).address() as AddressInfo;
  await expect(bindListener({ host: '127.0.0.1', port })).rejects.toMatchObject({
    ...{ code: 'EADDRINUSE', syscall: 'listen', address: '127.0.0.1', port },
  });
});

test('a Unix socket is bound, and taken away with the listener', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'keymux-test-'));
  const path = join(folder, 's');
  const { handle, close } = await bindListener({ path });
  const server = await listenOn({ handle });
  await once(connect({ path }), 'connect');
  server.close();
  close();
  await new Promise(setImmediate);
  expect(existsSync(path)).toBe(false);
  await expect(bindListener({ path: join(folder, 'missing', 's') })).rejects.toMatchObject({
    code: 'EACCES',
  });
  await rm(folder, { recursive: true });
});

test.each([
  ['an address of another machine', { host: '192.0.2.1', port: 0 }, 'EADDRNOTAVAIL'],
  ['a descriptor that is no socket', { fd: 1_000_000 }, 'EINVAL'],
])('%s is refused', async (_what, options, code) => {
  await expect(bindListener(options)).rejects.toMatchObject({ code });
});
