import type { KeyNego, StateWriter } from '@keymux/frames';

/** How strongly a key proves who is at its other end (spec 3.9). */
export type Level = 'none' | 'passive' | 'authenticated';

/** What is known about an established key. */
export interface KeyInfo {
  readonly keyId: number;
  readonly generation: number;
  readonly level: Level;
  /** Whether what arrives under this generation may be a replay (spec 3.7). */
  readonly early: boolean;
  /** Early data only: it may have been accepted by this side before, which knows only what came since it was started (spec 3.7). */
  readonly mayRepeat?: true;
  readonly algorithm: number;
  readonly label: string;
  /** The host this key speaks for; empty for a connection key. */
  readonly authority: string;
  readonly peer: string;
  /** The SSH identity that is proven, if the algorithm proves one, and the name it was trusted as. */
  readonly identity?: { readonly fingerprint: string; readonly name: string };
  readonly forwardSecrecy: boolean;
  /** What its holder may not do; a relay enforces it (spec 5.2). */
  readonly restrictions?: { readonly permitOpen?: readonly string[] };
}

/** One generation of a key in our sending direction. */
export interface SendKey {
  readonly keyId: number;
  readonly generation: number;
  readonly info: KeyInfo;
  /** Envelopes sealed so far in this generation. */
  readonly sealed: number;
  /** Envelopes that the generation before this one sealed; undefined if this is the direction's first. */
  readonly previousSealed: number | undefined;
  /** Seals `parts` as one plaintext, without changing them; returns the ciphertext parts and the tag. */
  seal(head: Uint8Array, parts: readonly Uint8Array[]): Uint8Array[];
}

/** One generation of a key in our receiving direction. */
export interface ReceiveKey {
  readonly keyId: number;
  readonly generation: number;
  readonly info: KeyInfo;
  /** Envelopes opened so far in this generation. */
  readonly opened: number;
  /** Opens an envelope; hands out plaintext only after the tag is verified, and throws otherwise. */
  open(head: Uint8Array, body: Uint8Array): Uint8Array;
}

/** What the key registry reports when the session polls it, in order. */
export type KeyEvent =
  | { readonly type: 'send'; readonly frame: Omit<KeyNego, 'type'> }
  | { readonly type: 'established'; readonly key: KeyInfo; readonly send: boolean; readonly receive: boolean }
  | {
      readonly type: 'rejected';
      readonly keyId: number;
      readonly reason: number;
      readonly algorithms: readonly number[];
    }
  /**
   * A run failed. By `error.scope` that ends the session, or, if it is `usage`, only the call: this side asked for something that
   * its own keys do not give, and nothing was sent.
   */
  | {
      readonly type: 'failed';
      readonly keyId: number;
      readonly error: Error & { readonly scope: 'session' | 'usage' };
    }
  /** Our direction has moved to a generation that a renegotiation made; the peer waits to hear of it (spec 3.14). */
  | { readonly type: 'moved'; readonly keyId: number }
  /** The peer seals nothing more under the key. */
  | { readonly type: 'peer-retired'; readonly keyId: number }
  | { readonly type: 'retired'; readonly keyId: number };

/**
 * The keys of one session, as the session needs them. `@keymux/keys`' KeyRegistry satisfies it.
 *
 * Negotiation may take time (long-term keys can live in another process); sealing and opening never do.
 */
export interface KeyPort {
  /** A KEY_NEGO frame arrived. `digestBefore` is the peer's session digest just before it (spec 3.6). */
  receive(frame: Omit<KeyNego, 'type'>, bytes: Uint8Array, digestBefore: Uint8Array, now: number): void;
  /** A KEY_NEGO frame that `poll` asked for is on the wire. */
  sent(keyId: number, bytes: Uint8Array, digestBefore: Uint8Array): void;
  poll(): KeyEvent | undefined;
  /** Whether an envelope of this key and generation, or without one a KEY_NEGO frame, must wait for a step of the key's run. */
  busy(keyId: number, generation?: number): boolean;
  sender(keyId: number): SendKey | undefined;
  receiver(keyId: number, generation: number): ReceiveKey | undefined;
  /** The peer has moved its direction to `generation`; older ones are wiped. */
  confirmGeneration(keyId: number, generation: number): void;
  info(keyId: number): KeyInfo | undefined;
  /**
   * 32 bytes over `message` that nobody can make who did not take part in the run of this generation; undefined if this side did not (spec 4.5).
   * For every generation of a key that is not yet retired by both sides.
   */
  switchProof(keyId: number, generation: number, message: Uint8Array): Uint8Array | undefined;
  /** The client has announced how many tunnels the session is inside of. Throws if that comes too late. */
  setDepth(depth: number): void;
  /**
   * A stream uses this key: a direction is bound to it, or it was opened under it and is not answered yet. Told once. Stream 0 stands for our
   * session frames.
   */
  bind(keyId: number, streamId: number): void;
  /** The stream does not use this key any more. */
  unbind(keyId: number, streamId: number): void;
  /** Whether RETIRE could be sent now, as far as the keys know. */
  canRetire(keyId: number): boolean;
  /** The RETIRE frame, if `canRetire`. It must be the next that is `sent`. */
  retire(keyId: number): Omit<KeyNego, 'type'>;
  /** Forgets a key and its run at once; false if there is neither. */
  drop(keyId: number): boolean;
  /** Why the keys cannot be handed over now, for people; undefined if they can (spec 13.1). */
  readonly handOverObstacle: string | undefined;
  /** Writes the keys for the process that takes the session over (spec 13.5); `close` comes next. */
  save(writer: StateWriter): void;
  nextDeadline(): number | undefined;
  handleDeadline(now: number): void;
  close(): void;
}

/** A running SHA-256, as node:crypto's Hash has it. */
export interface RunningHash {
  update(bytes: Uint8Array): unknown;
  copy(): RunningHash;
  digest(): Uint8Array;
  /** The state, for another process to go on with (spec 13.4). Absent where it cannot be had. */
  save?(): Uint8Array;
}
