import type { Socket } from 'node:net';
import { UsageError } from '@keymux/session';
import type { Movable, MuxSession } from '@keymux/streams';

/** A session of an origin, and how many of its requests are being answered. */
export class OriginSession implements Movable {
  readonly kind = 'origin';
  readonly #session: MuxSession;
  #running = 0;
  #onIdle: (() => void) | undefined;

  constructor(session: MuxSession) {
    this.#session = session;
  }

  /** A request is answered until `answering` has settled. */
  answers(answering: Promise<void>): Promise<void> {
    this.#running++;
    return answering.finally(() => {
      if (--this.#running === 0) this.#onIdle?.();
    });
  }

  get sockets(): readonly Socket[] {
    return [this.#session.carrier as Socket];
  }

  /** Lets the handlers end. Requests that come meanwhile wait, and go along. */
  async ready(signal: AbortSignal): Promise<void> {
    this.#session.holdStreams();
    if (this.#running > 0) await this.#idle(signal);
    await this.#session.movable(signal);
  }

  handOver(name: Uint8Array): Uint8Array {
    if (this.#running > 0) throw new UsageError('ERR_KEYMUX_HAND_OVER', 'requests are being answered');
    return this.#session.handOver(name);
  }

  stay(): void {
    this.#session.tellStreams();
  }

  #idle(signal: AbortSignal): Promise<void> {
    return new Promise((resolve, reject) => {
      const over = (): void => reject(signal.reason as Error);
      if (signal.aborted) return over();
      signal.addEventListener('abort', over, { once: true });
      this.#onIdle = () => {
        signal.removeEventListener('abort', over);
        resolve();
      };
    });
  }
}
