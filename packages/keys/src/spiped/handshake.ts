import {
  type ExchangeMacs,
  exchangeMacs,
  type Nonces,
  proveValue,
  readValue,
  sessionKeys,
} from '../algorithms/spiped-exchange.ts';
import { type DhKey, equalBytes, GROUP14_LENGTH, HASH_LENGTH } from '../crypto.ts';
import { keyFailure } from '../errors.ts';
import type { PreSharedKey } from '../pre-shared-key.ts';
import { Reader } from '../reader.ts';
import type { SpipedAwaiting, SpipedRole, SpipedTurn } from './keeper.ts';

const VALUE_LENGTH = GROUP14_LENGTH + HASH_LENGTH;

/** What a side knows from the beginning on. */
interface Run {
  readonly role: SpipedRole;
  readonly key: PreSharedKey;
  readonly random: (length: number) => Uint8Array;
  readonly dhKey: () => Promise<DhKey>;
}

/** Begins spiped's handshake (spec 11.3). Both sides send their nonce at once. */
export function startHandshake(run: Run): SpipedTurn {
  const nonce = run.random(HASH_LENGTH);
  return { send: nonce, next: new AwaitNonce(run, nonce) };
}

/** Waits for the nonce of the other side (C2, S2). */
class AwaitNonce implements SpipedAwaiting {
  readonly bytes = HASH_LENGTH;
  readonly #run: Run;
  readonly #nonce: Uint8Array;

  constructor(run: Run, nonce: Uint8Array) {
    this.#run = run;
    this.#nonce = nonce;
  }

  async receive(message: Uint8Array): Promise<SpipedTurn> {
    const { role, key, dhKey } = this.#run;
    const [own, peer] = [this.#nonce, Uint8Array.from(message)];
    if (equalBytes(own, peer)) throw keyFailure('own-message');
    const nonces = role === 'client' ? { client: own, server: peer } : { client: peer, server: own };
    const macs = exchangeMacs(key.spipedKey, nonces);
    if (role === 'server') return { next: new AwaitClientValue(this.#run, nonces, macs) };
    const value = await dhKey();
    return {
      send: proveValue(value.publicValue, macs.client),
      next: new AwaitServerValue(this.#run, nonces, macs, value),
    };
  }

  wipe(): void {
    // Knows nothing secret yet.
  }
}

/** The server waits for y_C || h_C (S4). */
class AwaitClientValue implements SpipedAwaiting {
  readonly bytes = VALUE_LENGTH;
  readonly #run: Run;
  readonly #nonces: Nonces;
  readonly #macs: ExchangeMacs;

  constructor(run: Run, nonces: Nonces, macs: ExchangeMacs) {
    this.#run = run;
    this.#nonces = nonces;
    this.#macs = macs;
  }

  async receive(message: Uint8Array): Promise<SpipedTurn> {
    const { key, dhKey } = this.#run;
    const peer = readWholeValue(message, this.#macs.client);
    const own = await dhKey();
    return {
      send: proveValue(own.publicValue, this.#macs.server),
      keys: await sessionKeys(key.spipedKey, this.#nonces, own, peer),
    };
  }

  wipe(): void {
    wipeMacs(this.#macs);
  }
}

/** The client waits for y_S || h_S (C5). */
class AwaitServerValue implements SpipedAwaiting {
  readonly bytes = VALUE_LENGTH;
  readonly #run: Run;
  readonly #nonces: Nonces;
  readonly #macs: ExchangeMacs;
  readonly #own: DhKey;

  constructor(run: Run, nonces: Nonces, macs: ExchangeMacs, own: DhKey) {
    this.#run = run;
    this.#nonces = nonces;
    this.#macs = macs;
    this.#own = own;
  }

  async receive(message: Uint8Array): Promise<SpipedTurn> {
    const peer = readWholeValue(message, this.#macs.server);
    if (equalBytes(peer, this.#own.publicValue)) throw keyFailure('own-message');
    return { keys: await sessionKeys(this.#run.key.spipedKey, this.#nonces, this.#own, peer) };
  }

  wipe(): void {
    wipeMacs(this.#macs);
  }
}

function readWholeValue(message: Uint8Array, mac: ExchangeMacs['client']): Uint8Array {
  const reader = new Reader(message);
  const value = readValue(reader, mac);
  reader.end();
  return value;
}

function wipeMacs({ client, server }: ExchangeMacs): void {
  client.wipe();
  server.wipe();
}
