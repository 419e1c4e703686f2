import { connect, createServer, type Socket } from 'node:net';
import { performance } from 'node:perf_hooks';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Link } from '../stage.ts';
import { listen } from './tcp.ts';

/**
 * What it carries in each direction, in bytes a millisecond: 1 Gbit/s. Without a rate, raw TCP over it would be as fast as the processors are, and ratios would
 * say what a byte costs them, as those of T1 do.
 */
const RATE = 125_000;
/** What waits in front of it at most, in milliseconds, unless half a round trip is more. */
const QUEUE = 20;
const STALL = 200;

/** Each direction of the link. */
interface Way {
  /** In milliseconds. */
  readonly delay: number;
  /** What is on its way or waits at most, in bytes. */
  readonly room: number;
  /** How much later than others the next chunk arrives, in milliseconds. */
  readonly stalled: () => number;
}

let way: Way;

/** Makes it that long, also for connections that there are. */
export async function lengthen({ roundTrip, stalls }: Link): Promise<void> {
  const random = seeded();
  way = {
    delay: roundTrip / 2,
    room: RATE * (roundTrip / 2 + Math.max(roundTrip / 2, stalls > 0 ? STALL : QUEUE)),
    stalled: () => (random() < stalls ? STALL : 0),
  };
}

/**
 * A long link: passes TCP connections on, each direction half a round trip later. The kernel shakes hands with the client at once, so what that takes over a
 * long link is added before anything passes.
 */
export async function link({ port }: { port: number }): Promise<number> {
  const options = { noDelay: true, allowHalfOpen: true };
  await lengthen({ roundTrip: 0, stalls: 0 });
  return listen(
    createServer({ ...options, pauseOnConnect: true }, async (near) => {
      near.on('error', () => undefined);
      await sleep(2 * way.delay);
      if (near.destroyed) return;
      const far = connect({ port, host: '127.0.0.1', ...options });
      far.on('error', () => undefined).on('close', () => near.destroySoon());
      near.on('close', () => far.destroySoon());
      carry(near, far);
      carry(far, near);
      near.resume();
    }),
  );
}

function carry(from: Socket, to: Socket): void {
  const queue: { readonly due: number; readonly chunk: Buffer | undefined }[] = [];
  let [onTheWay, sent, last, waiting] = [0, 0, 0, false];
  const enqueue = (chunk: Buffer | undefined): void => {
    const bytes = chunk?.length ?? 0;
    sent = Math.max(sent, performance.now()) + bytes / RATE;
    last = Math.max(last, sent + way.delay + way.stalled());
    queue.push({ due: last, chunk });
    onTheWay += bytes;
    if (onTheWay > way.room) from.pause();
    deliver();
  };
  const deliver = (): void => {
    if (waiting) return;
    for (let next = queue[0]; next !== undefined; next = queue[0]) {
      const wait = next.due - performance.now();
      if (wait > 0) {
        waiting = true;
        setTimeout(resume, wait);
        return;
      }
      queue.shift();
      if (next.chunk === undefined) return void to.end();
      onTheWay -= next.chunk.length;
      if (onTheWay <= way.room) from.resume();
      if (!to.write(next.chunk)) {
        waiting = true;
        to.once('drain', resume);
        return;
      }
    }
  };
  const resume = (): void => {
    waiting = false;
    deliver();
  };
  from.on('data', enqueue).on('end', () => enqueue(undefined));
}

/** The same stalls in each run: a linear congruential generator (Numerical Recipes). */
function seeded(): () => number {
  let state = 1;
  return () => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return state / 2 ** 32;
  };
}
