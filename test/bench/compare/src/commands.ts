import { once } from 'node:events';
import { performance } from 'node:perf_hooks';
import type { Duplex } from 'node:stream';
import { setTimeout as delay } from 'node:timers/promises';
import type { Connection, Dialer } from './contender.ts';
import { receive, send, taskHead } from './task.ts';

/** What a client process can be told to do; times in seconds, sizes in bytes. */
export type ClientCommand =
  | {
      readonly do: 'transfer';
      readonly direction: 'down' | 'up';
      readonly bytes: number;
      readonly streams: number;
    }
  /** Open the streams that the next transfer will use. */
  | { readonly do: 'prepare'; readonly streams: number }
  | { readonly do: 'echo'; readonly messages: number; readonly size: number; readonly beside?: 'bulk' }
  | { readonly do: 'requests'; readonly concurrency: number; readonly seconds: number; readonly size: number }
  | { readonly do: 'streams'; readonly concurrency: number; readonly seconds: number }
  | { readonly do: 'sessions'; readonly concurrency: number; readonly seconds: number }
  | { readonly do: 'hold'; readonly streams: number }
  | { readonly do: 'use'; readonly bytes: number }
  | { readonly do: 'first-byte'; readonly connections: number }
  /** Leave the connection that commands share, and make another one when the next needs it. */
  | { readonly do: 'leave' }
  | { readonly do: 'fairness'; readonly streams: number; readonly messages: number; readonly size: number };

/** Numbers by name: `seconds`, `perSecond`, `p50` and `p99` in milliseconds. */
export type Numbers = Readonly<Record<string, number>>;

let shared: Promise<Connection> | undefined;
const held: Duplex[] = [];
let prepared: Duplex[] = [];

export async function runCommand(dialer: Dialer, command: ClientCommand): Promise<Numbers> {
  switch (command.do) {
    case 'sessions':
      return sessions(dialer, command.concurrency, command.seconds);
    case 'first-byte':
      return firstByte(dialer, command.connections);
    case 'leave':
      (await shared)?.close();
      shared = undefined;
      return {};
  }
  shared ??= dialer.connect();
  const connection = await shared;
  switch (command.do) {
    case 'prepare':
      prepared = await inBatches(command.streams, () => begin(connection));
      return {};
    case 'transfer':
      return transfer(connection, command.direction, command.bytes, command.streams);
    case 'echo':
      return command.beside === 'bulk'
        ? besideBulk(connection, () => echoes(connection, command.messages, command.size))
        : echoes(connection, command.messages, command.size);
    case 'requests':
      return requests(connection, command.concurrency, command.seconds, command.size);
    case 'streams':
      return perSecond(command.concurrency, command.seconds, async () => touch(await begin(connection)));
    case 'hold':
      return hold(connection, command.streams);
    case 'use':
      return use(command.bytes);
    case 'fairness':
      return fairness(connection, command);
  }
}

async function transfer(
  connection: Connection,
  direction: 'down' | 'up',
  bytes: number,
  streams: number,
): Promise<Numbers> {
  const share = Math.floor(bytes / streams);
  const opened = prepared.length > 0 ? prepared : await inBatches(streams, () => begin(connection));
  prepared = [];
  const start = performance.now();
  await Promise.all(
    opened.map(async (stream) => {
      stream.write(taskHead(direction === 'down' ? 'D' : 'U', share));
      const received = receive(stream, direction === 'down' ? share : 1);
      if (direction === 'up') await send(stream, share);
      await received;
      stream.end(); // not before: not every peer lets one direction end alone
    }),
  );
  return { seconds: (performance.now() - start) / 1000 };
}

/** Sends messages one after the other over one stream and waits for each to come back. */
async function echoes(connection: Connection, messages: number, size: number): Promise<Numbers> {
  const stream = await opened(connection);
  const took = await pingPong(stream, messages, size);
  stream.destroy();
  return { p50: quantile(took, 0.5), p99: quantile(took, 0.99) };
}

async function pingPong(
  stream: Duplex,
  messages: number,
  size: number,
  until = () => false,
): Promise<number[]> {
  const message = Buffer.alloc(size, 'm');
  const took: number[] = [];
  for (let sent = 0; sent < messages && !until(); sent++) {
    const start = performance.now();
    const back = receiveNext(stream, size);
    stream.write(message);
    await back;
    took.push(performance.now() - start);
  }
  return took;
}

/** Runs something while a download that does not end uses the same connection. */
async function besideBulk(connection: Connection, run: () => Promise<Numbers>): Promise<Numbers> {
  const bulk = await begin(connection);
  bulk.write(taskHead('D', 2 ** 40));
  bulk.resume();
  await once(bulk, 'data');
  const numbers = await run();
  bulk.destroy();
  return numbers;
}

async function requests(
  connection: Connection,
  concurrency: number,
  seconds: number,
  size: number,
): Promise<Numbers> {
  const streams = await openSome(connection, concurrency);
  const start = performance.now();
  const over = (): boolean => performance.now() - start > seconds * 1000;
  const took = await Promise.all(
    streams.map((stream) => pingPong(stream, Number.POSITIVE_INFINITY, size, over)),
  );
  const elapsed = (performance.now() - start) / 1000;
  for (const stream of streams) stream.end();
  const all = took.flat();
  return { perSecond: all.length / elapsed, p50: quantile(all, 0.5), p99: quantile(all, 0.99) };
}

/** Echo streams that have been used. */
function openSome(connection: Connection, count: number): Promise<Duplex[]> {
  return inBatches(count, () => idle(connection));
}

/** A few at a time: some peers have a backlog of ten. */
async function inBatches(count: number, open: () => Promise<Duplex>): Promise<Duplex[]> {
  const BATCH = 8;
  const streams: Duplex[] = [];
  while (streams.length < count) {
    const batch = Array.from({ length: Math.min(BATCH, count - streams.length) }, open);
    streams.push(...(await Promise.all(batch)));
  }
  return streams;
}

/** Fresh connections, each with one byte there and back. */
function sessions(dialer: Dialer, concurrency: number, seconds: number): Promise<Numbers> {
  return perSecond(concurrency, seconds, async () => {
    const connection = await dialer.connect();
    await touch(await begin(connection));
    connection.close();
  });
}

/** Fresh connections, the next one begun soon after the one before: the median of what it takes until a byte is back. */
async function firstByte(dialer: Dialer, connections: number): Promise<Numbers> {
  const APART = 30;
  const took = await Promise.all(
    Array.from({ length: connections }, async (_, index) => {
      await delay(index * APART);
      const start = performance.now();
      const connection = await dialer.connect();
      await touch(await begin(connection));
      const milliseconds = performance.now() - start;
      connection.close();
      return milliseconds;
    }),
  );
  return { milliseconds: quantile(took, 0.5) };
}

async function hold(connection: Connection, streams: number): Promise<Numbers> {
  held.push(...(await openSome(connection, streams)));
  return { streams: held.length };
}

async function idle(connection: Connection): Promise<Duplex> {
  const stream = await opened(connection);
  await pingPong(stream, 1, 1);
  return stream;
}

/** Echoes that many bytes on each stream that is held. */
async function use(bytes: number): Promise<Numbers> {
  for (const stream of held) await pingPong(stream, 1, bytes);
  return {};
}

/** How long small messages of many streams take alone, and beside a bulk transfer; medians over the streams. */
async function fairness(
  connection: Connection,
  { streams, messages, size }: { streams: number; messages: number; size: number },
): Promise<Numbers> {
  const run = async (): Promise<Numbers> => {
    const used = await openSome(connection, streams);
    const all = await Promise.all(
      used.map(async (stream) => {
        const took = await pingPong(stream, messages, size);
        stream.destroy();
        return quantile(took, 0.5);
      }),
    );
    return { median: quantile(all, 0.5), worst: Math.max(...all) };
  };
  const alone = await run();
  const beside = await besideBulk(connection, run);
  return { alone: alone.median ?? 0, beside: beside.median ?? 0, worstBeside: beside.worst ?? 0 };
}

/** One byte there and back, then the end of the stream. */
async function touch(stream: Duplex): Promise<void> {
  stream.write(taskHead('E'));
  await pingPong(stream, 1, 1);
  stream.end();
  stream.resume();
}

/** A new stream. Who waits for something of it hears of its errors; others, as when all processes are ended, concern nobody. */
async function begin(connection: Connection): Promise<Duplex> {
  const stream = await connection.open();
  return stream.on('error', () => undefined);
}

async function opened(connection: Connection): Promise<Duplex> {
  const stream = await begin(connection);
  stream.write(taskHead('E'));
  return stream;
}

async function perSecond(concurrency: number, seconds: number, once: () => Promise<void>): Promise<Numbers> {
  const start = performance.now();
  let count = 0;
  await Promise.all(
    Array.from({ length: concurrency }, async () => {
      while (performance.now() - start < seconds * 1000) {
        await once();
        count++;
      }
    }),
  );
  return { perSecond: count / ((performance.now() - start) / 1000) };
}

/** Waits for that many further bytes. */
function receiveNext(stream: Duplex, bytes: number): Promise<void> {
  return new Promise((resolve, reject) => {
    let left = bytes;
    const settle = (error?: Error): void => {
      stream.off('data', take).off('close', closed);
      if (error === undefined) resolve();
      else reject(error);
    };
    const take = (chunk: Uint8Array): void => {
      left -= chunk.length;
      if (left <= 0) settle();
    };
    const closed = (): void => settle(stream.errored ?? new Error('the stream was closed'));
    if (stream.destroyed) closed();
    else stream.on('data', take).on('close', closed);
  });
}

function quantile(values: readonly number[], fraction: number): number {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * fraction))] ?? Number.NaN;
}
