import type { StateReader, StateWriter } from '@keymux/frames';
import { CLEAR } from './control-binding.ts';
import { keyFailure } from './errors.ts';
import { raiseKeyWindow } from './host-keys.ts';
import type { KeyEvent, KeyInfo } from './key-port.ts';
import { strength } from './levels.ts';
import type { Retirement } from './retirement.ts';
import type { Sender } from './sender.ts';
import type { SessionState } from './state.ts';

/** Carries out what the keys report: frames to send, keys that can be used, runs that are over. */
export class KeyProgress {
  readonly #state: SessionState;
  readonly #sender: Sender;
  readonly #retirement: Retirement;
  /** The connection key that our session frames travel under, or will. */
  #controlKey: KeyInfo | undefined;

  constructor(state: SessionState, sender: Sender, retirement: Retirement) {
    this.#state = state;
    this.#sender = sender;
    this.#retirement = retirement;
  }

  /** Throws SessionError if a run has failed. */
  poll(): void {
    const { keys } = this.#state;
    if (keys === undefined) return;
    for (let event = keys.poll(); event !== undefined; event = keys.poll()) this.#handle(event);
  }

  save(writer: StateWriter): void {
    writer.optional(this.#controlKey, ({ keyId }) => writer.u8(keyId));
  }

  load(reader: StateReader): void {
    this.#controlKey = reader.optional(() => this.#state.keys?.info(reader.u8()));
  }

  #handle(event: KeyEvent): void {
    const { emit } = this.#state;
    switch (event.type) {
      case 'send':
        this.#sender.keyNego({ type: 'key-nego', ...event.frame });
        return;
      case 'established':
        if (event.send) this.#useForControl(event.key);
        if (event.send) this.#useForHost(event.key);
        emit({ type: 'key', key: event.key, send: event.send, receive: event.receive });
        return;
      case 'rejected':
        emit({
          type: 'key-rejected',
          keyId: event.keyId,
          reason: event.reason,
          algorithms: event.algorithms,
        });
        return;
      case 'failed':
        if (event.error.scope !== 'usage') throw keyFailure(event.error.message, event.error);
        emit({ type: 'key-failed', keyId: event.keyId, error: event.error });
        return;
      case 'moved':
        this.#sender.announceGeneration(event.keyId);
        return;
      case 'peer-retired':
        this.#retirement.peerRetired(event.keyId);
        return;
      case 'retired':
        this.#state.hostKeys.delete(event.keyId);
        if (event.keyId === this.#controlKey?.keyId) this.#controlKey = undefined;
        this.#retirement.retired(event.keyId);
    }
  }

  /**
   * Session frames move to a connection key as soon as there is one, and to a later one that is at least as strong, so
   * that the earlier can be retired (spec 4.5).
   */
  #useForControl(key: KeyInfo): void {
    if (key.authority !== '' || key.early || key.keyId === CLEAR) return;
    if (this.#controlKey !== undefined && strength(key) < strength(this.#controlKey)) return;
    this.#controlKey = key;
    this.#sender.switchControl(key.keyId);
  }

  /** Behind a front each host key has a window of its own (spec 10.4). */
  #useForHost({ keyId, authority }: KeyInfo): void {
    const { hostKeys, fronted } = this.#state;
    if (authority === '' || hostKeys.has(keyId)) return;
    hostKeys.add(keyId);
    if (fronted) raiseKeyWindow(this.#state, this.#sender, keyId);
  }
}
