import { performance } from 'node:perf_hooks';
import { vi } from 'vitest';
import type { Scope } from './scope.ts';

/** Time that a test lets pass for timers and the monotonic clock; sockets go on as they are. */
export class Clock {
  #ahead = 0;

  /** Begins before anything whose deadlines it is to move. */
  static install(scope: Scope): Clock {
    const clock = new Clock();
    const real = performance.now.bind(performance);
    vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] });
    const spy = vi.spyOn(performance, 'now').mockImplementation(() => real() + clock.#ahead);
    scope.defer(() => {
      spy.mockRestore();
      vi.useRealTimers();
    });
    return clock;
  }

  pass(ms: number): void {
    this.#ahead += ms;
    vi.advanceTimersByTime(ms);
  }
}
