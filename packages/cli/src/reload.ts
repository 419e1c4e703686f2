import { isDeepStrictEqual } from 'node:util';
import { type Output, reasonsOf } from './output.ts';
import type { ServiceManager } from './service/service-manager.ts';
import { optionName } from './settings.ts';

/**
 * Reads configuration and keys again whenever it is asked to, one time after the other. What `reload` rejects with goes to the log: what cannot be
 * used is refused, and everything stays as it was.
 */
export class Reloader {
  readonly #reload: () => Promise<void>;
  readonly #output: Output;
  readonly #manager: Pick<ServiceManager, 'reloading' | 'ready'>;
  /** It reads, or the program has not started yet. */
  #running = true;
  #again = false;
  #ended = false;

  constructor(
    reload: () => Promise<void>,
    output: Output,
    manager: Pick<ServiceManager, 'reloading' | 'ready'>,
  ) {
    this.#reload = reload;
    this.#output = output;
    this.#manager = manager;
  }

  /** The program has started; if it was asked to read again meanwhile, it does. */
  start(): void {
    this.#running = false;
    if (this.#again) this.request();
  }

  /** Asked while it reads, it reads once more: a file may have changed after it was read. */
  request(): void {
    if (this.#running) this.#again = true;
    else if (!this.#ended) void this.#run();
  }

  /** The program is ending: nothing is read any more, nor said of it. */
  end(): void {
    this.#ended = true;
  }

  async #run(): Promise<void> {
    this.#running = true;
    this.#again = false;
    this.#manager.reloading();
    try {
      await this.#reload();
      this.#output.log({ event: 'reloaded' }, 'configuration and keys are read again');
    } catch (error) {
      if (this.#ended) return; // which may be why
      const reasons = reasonsOf(error).join('; ');
      this.#output.log(
        { event: 'reload-refused', error: reasons },
        `not reloaded, everything stays as it was: ${reasons}`,
      );
    }
    this.#running = false;
    if (this.#ended) return;
    this.#manager.ready();
    if (this.#again) this.request();
  }
}

/** Says which of these options have changed although they count as they were at the start. */
export function sayUnchanged<T extends object>(
  names: readonly (keyof T & string)[],
  before: T,
  now: T,
  output: Output,
): void {
  for (const name of names) {
    if (isDeepStrictEqual(before[name], now[name])) continue;
    const option = `--${optionName(name)}`;
    output.log(
      { event: 'not-reloaded', option },
      `${option} cannot change while the program runs, and stays as it was; start it anew for that`,
    );
  }
}
