import { DhKey, prepareGroup14, randomBytes } from '../crypto.ts';
import type { PreSharedKey } from '../pre-shared-key.ts';
import type { Secret } from '../secret.ts';
import { startHandshake } from './handshake.ts';

/** spiped's client encrypts what it takes in (-e), its server decrypts it (-d). */
export type SpipedRole = 'client' | 'server';

/**
 * The port to whoever owns the long-term key of spiped connections (spec 11.3). As with `Keeper`, the handshake happens behind it and only
 * the keys of the one connection come out.
 */
export interface SpipedKeeper {
  /** Begins a handshake. */
  start(role: SpipedRole): Promise<SpipedTurn>;
}

/** What to do next: to send, where there is something, and then to wait for the peer, or to use the keys. */
export type SpipedTurn = { readonly send?: Uint8Array } & (
  | { readonly next: SpipedAwaiting; readonly keys?: never }
  /** dk_2 = E_C || H_C || E_S || H_S, 128 bytes. Whoever receives it wipes it. */
  | { readonly next?: never; readonly keys: Secret }
);

/** A handshake between two messages of the peer. */
export interface SpipedAwaiting {
  /** How many bytes the awaited message has. */
  readonly bytes: number;
  /** Takes the awaited message, once. Rejects with KeyError (session) if it is not what the holder of the key would send. */
  receive(message: Uint8Array): Promise<SpipedTurn>;
  /** Forgets the handshake; to be called after `receive` too. */
  wipe(): void;
}

export interface LocalSpipedKeeperOptions {
  readonly key: PreSharedKey;
  /** Source of random bytes, for test vectors only. */
  readonly random?: (length: number) => Uint8Array;
}

/** A keeper in this process; what takes long is done in threads. */
export class LocalSpipedKeeper implements SpipedKeeper {
  readonly #key: PreSharedKey;
  readonly #random: (length: number) => Uint8Array;
  readonly #dhKey: () => Promise<DhKey>;

  constructor({ key, random }: LocalSpipedKeeperOptions) {
    this.#key = key;
    this.#random = random ?? randomBytes;
    this.#dhKey = () => DhKey.generate({ random });
    prepareGroup14(); // every handshake needs it
  }

  async start(role: SpipedRole): Promise<SpipedTurn> {
    return startHandshake({ role, key: this.#key, random: this.#random, dhKey: this.#dhKey });
  }
}
