import { connect, createServer, type Socket } from 'node:net';
import { performance } from 'node:perf_hooks';
import type { Link } from '../stage.ts';
import { listen } from './tcp.ts';

/** What is on its way in one direction at most, in bytes: a link of 640 MB/s at 100 ms. */
const ON_THE_WAY = 64 * 2 ** 20;
const STALL = 200;

/** A long link: passes TCP connections on, each direction half a round trip later. */
export function link({ port, roundTrip, stalls }: Link & { port: number }): Promise<number> {
  const options = { noDelay: true, allowHalfOpen: true };
  const random = seeded();
  return listen(
    createServer(options, (near) => {
      const far = connect({ port, host: '127.0.0.1', ...options });
      const stalled = (): number => (random() < stalls ? STALL : 0);
      delayed(near, far, roundTrip / 2, stalled);
      delayed(far, near, roundTrip / 2, stalled);
      for (const [socket, other] of [
        [near, far],
        [far, near],
      ] as const)
        socket.on('error', () => undefined).on('close', () => other.destroySoon());
    }),
  );
}

function delayed(from: Socket, to: Socket, delay: number, stalled: () => number): void {
  const queue: { readonly due: number; readonly chunk: Buffer | undefined }[] = [];
  let [onTheWay, last, waiting] = [0, 0, false];
  const enqueue = (chunk: Buffer | undefined): void => {
    last = Math.max(last, performance.now() + delay + stalled());
    queue.push({ due: last, chunk });
    onTheWay += chunk?.length ?? 0;
    if (onTheWay > ON_THE_WAY) from.pause();
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
      if (onTheWay <= ON_THE_WAY) from.resume();
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
