import { RST } from '@keymux/frames';
import { type KeyInfo, SAFE_METHODS } from '@keymux/session';
import { type MuxSession, StreamResetError } from '@keymux/streams';

/** Too Early (RFC 8470): the application wants the request again when it cannot be a replay. */
const TOO_EARLY = 425;

/** What is sent under a key. */
interface Attempt<T> {
  readonly method: string;
  readonly key: KeyInfo | undefined;
  /** Whether it can be sent a second time. */
  readonly repeatable: boolean;
  readonly signal?: AbortSignal | undefined;
  send(key: KeyInfo | undefined): Promise<T>;
}

/** Decides what travels as early data, which can be a replay for who receives it, and what waits for the peer's randomness (spec 3.7). */
export class EarlyData {
  readonly #session: MuxSession;
  readonly #methods: ReadonlySet<string>;

  /** `methods` may travel so; by default GET and HEAD, of which a second effect does no harm. */
  constructor(session: MuxSession, methods: Iterable<string> = SAFE_METHODS) {
    this.#session = session;
    this.#methods = new Set(methods);
  }

  /** The key to send something under that cannot be sent again: at once if it may be early data, else when it is confirmed. */
  async keyFor(method: string, key: KeyInfo | undefined, signal?: AbortSignal): Promise<KeyInfo | undefined> {
    const current = key && (this.#session.key(key.keyId) ?? key);
    if (current === undefined || !current.early || this.#methods.has(method)) return current;
    return this.#session.confirmed(current, signal);
  }

  /**
   * Sends a request at once if it may be early data, else when the key is confirmed. A peer that takes nothing early, by REFUSED_STREAM or status 425, has
   * not acted on it, and gets it again then.
   */
  async send<T extends { readonly status: number }>(
    attempt: Attempt<T>,
    discard: (answer: T) => void,
  ): Promise<T> {
    const { method, repeatable, signal } = attempt;
    const key = attempt.key && (this.#session.key(attempt.key.keyId) ?? attempt.key);
    if (key === undefined || !key.early) return attempt.send(key);
    if (repeatable && this.#methods.has(method)) {
      try {
        const answer = await attempt.send(key);
        if (answer.status !== TOO_EARLY) return answer;
        discard(answer);
      } catch (error) {
        if (!isRefused(error)) throw error;
      }
    }
    return attempt.send(await this.#session.confirmed(key, signal));
  }
}

function isRefused(error: unknown): boolean {
  return (
    error instanceof StreamResetError && error.status === RST.REFUSED_STREAM && error.origin === 'remote'
  );
}
