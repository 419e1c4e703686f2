import { RST } from '@keymux/frames';
import { UNBOUND } from './direction.ts';
import { keyFailure } from './errors.ts';
import type { Sender } from './sender.ts';
import { needsKey, removeStream, type SessionState } from './state.ts';

/**
 * The end of keys (spec 3.3). Either side may begin it; the other one follows as soon as nothing needs the key:
 *
 *     close: no more streams under the key --> nothing needs it --> RETIRE --> RETIRE of the peer --> forgotten
 *
 * A stream of the peer that crosses our RETIRE was never handled; the RETIRE tells the peer so.
 */
export class Retirement {
  readonly #state: SessionState;
  readonly #sender: Sender;

  constructor(state: SessionState, sender: Sender) {
    this.#state = state;
    this.#sender = sender;
  }

  /** Opens no more streams under the key, and retires it when nothing needs it. */
  close(keyId: number): void {
    this.#state.closingKeys.add(keyId);
  }

  /** Retires what can be retired now. To be called wherever a stream or a run may have ended. */
  check(): void {
    const { keys, closingKeys } = this.#state;
    for (const keyId of closingKeys) {
      if (keys?.canRetire(keyId) && !needsKey(this.#state, keyId)) this.#sender.retire(keyId);
    }
  }

  /** RETIRE of the peer has come: it has nothing under this key, so what of ours is unanswered has crossed it and is refused. */
  peerRetired(keyId: number): void {
    const state = this.#state;
    this.close(keyId);
    for (const stream of state.streams.values()) {
      if (stream.in.keyId === keyId && !stream.in.ended) {
        throw keyFailure(`RETIRE of key ${keyId}, which stream ${stream.id} is bound to`);
      }
      if (!stream.ours || stream.in.keyId !== UNBOUND || stream.openedUnder !== keyId) continue;
      state.emit({ type: 'reset', id: stream.id, status: RST.REFUSED_STREAM, origin: 'remote' });
      removeStream(state, stream);
    }
  }

  /** Both sides have retired the key. */
  retired(keyId: number): void {
    this.#state.closingKeys.delete(keyId);
    this.#state.emit({ type: 'key-retired', keyId });
  }
}
