import type { KeyError } from './errors.ts';
import type { KeyInfo } from './key-info.ts';
import type { NegoFrame } from './nego-frame.ts';

/** What the session is to do, or to know. */
export type RegistryEvent =
  /** Send this frame, then call `sent`. A RETIRE goes into an envelope of its key, as the last frame. */
  | { readonly type: 'send'; readonly frame: NegoFrame }
  /** A generation of a key is usable in these directions. Comes again for each generation, and when the peer is proven. */
  | { readonly type: 'established'; readonly key: KeyInfo; readonly send: boolean; readonly receive: boolean }
  /** The peer turned the run down. The list is what it says, unproven: it may make this side give up, not weaken its offer. */
  | {
      readonly type: 'rejected';
      readonly keyId: number;
      readonly reason: number;
      readonly algorithms: readonly number[];
    }
  /**
   * A run failed. With `error.scope` `session` the session must end. With `usage`, this side asked its own keeper for something it
   * does not have or do; nothing was sent and the session can go on.
   */
  | { readonly type: 'failed'; readonly keyId: number; readonly error: KeyError }
  /** Our direction has moved to a generation that a renegotiation made: seal an envelope under it (spec 3.14). */
  | { readonly type: 'moved'; readonly keyId: number }
  /** The peer seals nothing more under the key. */
  | { readonly type: 'peer-retired'; readonly keyId: number }
  /** Both sides have retired the key; it is wiped. */
  | { readonly type: 'retired'; readonly keyId: number };
