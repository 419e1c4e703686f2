import { getEventListeners, once } from 'node:events';
import { type AddressInfo, createServer } from 'node:net';
import { Quota } from '@keymux/streams';
import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { DestinationPolicy, type DialOptions, dial } from '../src/index.ts';

beforeEach(() => void vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] }));
afterEach(() => void vi.useRealTimers());

const TIMEOUT = 10_000;
const forever = new Promise<never>(() => undefined);

function options(more: Partial<DialOptions> = {}): DialOptions {
  const policy = new DestinationPolicy(['127.0.0.1:*', 'a.test:*']);
  return { policy, timeout: TIMEOUT, client: 'a client', quota: new Quota(8, 8), ...more };
}

/** What is left of a dial that is over. */
const left = (signal: AbortSignal): number => vi.getTimerCount() + getEventListeners(signal, 'abort').length;

test('a dial that has succeeded leaves neither a timer nor a listener', async () => {
  const server = createServer((socket) => socket.destroy());
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { signal } = new AbortController();
  const { port } = server.address() as AddressInfo;
  const dialled = dial({ host: '127.0.0.1', port }, options({ signal }));
  expect(left(signal)).toBe(2);
  (await dialled).destroy();
  expect(left(signal)).toBe(0);
  server.close();
});

test('a dial that has failed leaves neither', async () => {
  const { signal } = new AbortController();
  const lookup = () => Promise.reject(new Error('no such name'));
  await expect(dial({ host: 'a.test', port: 1 }, options({ signal, lookup }))).rejects.toMatchObject({
    status: 502,
    message: 'a.test:1 cannot be reached: no such name',
  });
  expect(left(signal)).toBe(0);
});

test('a dial that takes too long is given up at its time, not before', async () => {
  const { signal } = new AbortController();
  const given = vi.fn();
  const dialled = dial({ host: 'a.test', port: 1 }, options({ signal, lookup: () => forever }));
  dialled.catch(given);
  await vi.advanceTimersByTimeAsync(TIMEOUT - 1);
  expect(given).not.toHaveBeenCalled();
  await vi.advanceTimersByTimeAsync(1);
  await expect(dialled).rejects.toMatchObject({
    status: 504,
    message: 'a.test:1 did not answer within 10000 ms',
  });
  expect(left(signal)).toBe(0);
});

test.each(['before', 'while'])(
  'a dial whose client leaves %s it is at it is given up at once',
  async (when) => {
    const client = new AbortController();
    const { signal } = client;
    if (when === 'before') client.abort(new Error('the client has left'));
    const dialled = dial({ host: 'a.test', port: 1 }, options({ signal, lookup: () => forever }));
    if (when === 'while') client.abort(new Error('the client has left'));
    await expect(dialled).rejects.toMatchObject({
      status: 502,
      message: 'a.test:1 cannot be reached: the client has left',
    });
    expect(left(signal)).toBe(0);
  },
);
