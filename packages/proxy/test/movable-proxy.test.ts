import { once } from 'node:events';
import { type AddressInfo, createServer, type Socket } from 'node:net';
import { connectSocket, encodeRequest, MuxSession } from '@keymux/streams';
import { expect, test } from 'vitest';
import { ConnectProxy } from '../src/index.ts';

test('a session with a destination that has just closed stays until its client has heard of that', async () => {
  await using proxy = new ConnectProxy({ allow: ['127.0.0.1:*'], level: 'none', movable: true });
  const { port } = (await proxy.listen({ port: 0, host: '127.0.0.1' })) as AddressInfo;
  const destination = createServer((socket) => void socket.on('error', () => undefined));
  destination.listen(0, '127.0.0.1');
  await once(destination, 'listening');
  const client = new MuxSession(await connectSocket({ port, host: '127.0.0.1' }), { role: 'client' });
  const path = `127.0.0.1:${(destination.address() as AddressInfo).port}`;
  const stream = client.openStream(
    encodeRequest({ method: 'CONNECT', path, host: path, scheme: '', headers: [] }),
  );
  await once(stream, 'reply');

  const movable = proxy.movable([...proxy.sessions][0] as MuxSession);
  const [carrier, socket] = movable.sockets as [Socket, Socket];
  const handOver = () => movable.handOver(new Uint8Array(16), () => 0);
  await movable.ready(new AbortController().signal);
  socket.destroy(new Error('reset'));
  expect(handOver).toThrow(expect.objectContaining({ code: 'ERR_KEYMUX_HAND_OVER' }));

  await new Promise((resolve) => stream.once('close', resolve));
  expect(stream.errored).toMatchObject({ code: 'ERR_KEYMUX_STREAM_RESET' });
  await movable.ready(new AbortController().signal);
  expect(movable.sockets).toEqual([carrier]);
  expect(handOver().length).toBeGreaterThan(0);
  client.destroy();
  destination.close();
});
