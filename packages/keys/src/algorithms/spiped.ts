import { ascii, concat } from '../bytes.ts';
import { checkSharedTag, runSecret, writeSharedTag } from '../closing.ts';
import { type DhKey, equalBytes, HASH_LENGTH, prepareGroup14 } from '../crypto.ts';
import { keyFailure } from '../errors.ts';
import type { Algorithm, Awaiting, Environment, Received, Turn } from '../handshake.ts';
import { unknownKey } from '../handshake-errors.ts';
import type { Offer, RunSecret } from '../keeper.ts';
import { encodeOffer, readOffer } from '../offer.ts';
import type { PreSharedKey } from '../pre-shared-key.ts';
import { Reader } from '../reader.ts';
import type { Secret } from '../secret.ts';
import { extendTranscript, firstMessage, message, NO_TAG, startTranscript } from '../transcript.ts';
import {
  type ExchangeMacs,
  exchangeMacs,
  type Nonces,
  proveValue,
  readValue,
  sessionKeys,
} from './spiped-exchange.ts';

/**
 * ALG 2, `spiped` (spec 3.8): spiped's handshake with the initiator as its client, so with forward secrecy.
 *
 *     F_1  initiator       offer fields, nonce_C (256)
 *     F_2  responder       nonce_S (256)
 *     F_3  initiator  FIN  y_C (2048), h_C (256)
 *     F_4  responder  FIN  y_S (2048), h_S (256), tag (256)
 */
export const spiped: Algorithm = {
  messages: [
    { fin: false, work: 0 },
    { fin: false, work: 2 },
    { fin: true, work: 4 },
    { fin: true, work: 2 },
  ],
  startInitiator,
  startResponder,
};

/** What both sides know of a run from its first message on. */
interface Run {
  readonly environment: Environment;
  readonly offer: Offer;
  readonly key: PreSharedKey;
  /** Whether the key is the one that the offer names, and not a stand-in for it. */
  readonly known: boolean;
}

function startInitiator(environment: Environment, offer: Offer): Turn {
  const { context } = environment;
  const { key, known } = environment.preSharedKey(offer);
  if (!known) throw unknownKey(offer);
  const nonce = environment.random(HASH_LENGTH);
  environment.claimNonce(nonce);
  prepareGroup14();
  const frame = firstMessage(context, false, concat(encodeOffer(offer), nonce));
  const first = extendTranscript(startTranscript(context), frame);
  return { frame, secrets: [], next: new AwaitServerNonce({ environment, offer, key, known }, nonce, first) };
}

/** The initiator waits for F_2. */
class AwaitServerNonce implements Awaiting {
  readonly #run: Run;
  readonly #nonce: Uint8Array;
  /** T_1. */
  readonly #transcript: Uint8Array;

  constructor(run: Run, nonce: Uint8Array, transcript: Uint8Array) {
    this.#run = run;
    this.#nonce = nonce;
    this.#transcript = transcript;
  }

  async receive({ frame, data }: Received): Promise<Turn> {
    const reader = new Reader(data);
    const nonces = { client: this.#nonce, server: Uint8Array.from(reader.take(HASH_LENGTH)) };
    reader.end();
    if (equalBytes(nonces.server, nonces.client)) throw keyFailure('own-message');

    const { environment, key } = this.#run;
    const second = extendTranscript(this.#transcript, frame);
    const macs = exchangeMacs(key.spipedKey, nonces);
    const own = await environment.dhKey();
    const answer = message(environment.context, true, proveValue(own.publicValue, macs.client));
    return {
      frame: answer,
      secrets: [],
      next: new AwaitServerValue(this.#run, nonces, macs, own, extendTranscript(second, answer)),
    };
  }

  wipe(): void {
    // Knows nothing secret yet.
  }
}

/** The initiator waits for F_4. */
class AwaitServerValue implements Awaiting {
  readonly #run: Run;
  readonly #nonces: Nonces;
  readonly #macs: ExchangeMacs;
  readonly #own: DhKey;
  /** T_3. */
  readonly #transcript: Uint8Array;

  constructor(run: Run, nonces: Nonces, macs: ExchangeMacs, own: DhKey, transcript: Uint8Array) {
    this.#run = run;
    this.#nonces = nonces;
    this.#macs = macs;
    this.#own = own;
    this.#transcript = transcript;
  }

  async receive({ frame, data }: Received): Promise<Turn> {
    const reader = new Reader(data);
    const peer = readValue(reader, this.#macs.server);
    reader.take(HASH_LENGTH); // tag
    reader.end();
    if (equalBytes(peer, this.#own.publicValue)) throw keyFailure('own-message');

    const keys = await sessionKeys(this.#run.key.spipedKey, this.#nonces, this.#own, peer);
    try {
      if (!checkSharedTag(frame, keys, RESPONDER_TAG, this.#transcript)) {
        throw keyFailure('wrong-key', 'the two sides have not seen the same messages');
      }
      return { secrets: [closed(this.#run, keys, extendTranscript(this.#transcript, frame), true)] };
    } finally {
      keys.wipe();
    }
  }

  wipe(): void {
    wipeMacs(this.#macs);
  }
}

function startResponder(environment: Environment, { frame, data }: Received): Turn {
  const { context } = environment;
  const reader = new Reader(data);
  const offer = readOffer(reader, context.algorithm);
  const client = Uint8Array.from(reader.take(HASH_LENGTH));
  reader.end();
  if (environment.isOwnNonce(client)) throw keyFailure('own-message');
  prepareGroup14();

  const { key, known } = environment.preSharedKey(offer);
  const first = extendTranscript(startTranscript(context), frame);
  const nonces = { client, server: environment.random(HASH_LENGTH) };
  const answer = message(context, false, nonces.server);
  return {
    frame: answer,
    secrets: [],
    next: new AwaitClientValue({ environment, offer, key, known }, nonces, extendTranscript(first, answer)),
  };
}

/** The responder waits for F_3. */
class AwaitClientValue implements Awaiting {
  readonly #run: Run;
  readonly #nonces: Nonces;
  readonly #macs: ExchangeMacs;
  /** T_2. */
  readonly #transcript: Uint8Array;

  constructor(run: Run, nonces: Nonces, transcript: Uint8Array) {
    this.#run = run;
    this.#nonces = nonces;
    this.#macs = exchangeMacs(run.key.spipedKey, nonces);
    this.#transcript = transcript;
  }

  async receive({ frame, data }: Received): Promise<Turn> {
    const { environment, key } = this.#run;
    const peer = this.#readValue(data);
    const own = await environment.dhKey();
    const third = extendTranscript(this.#transcript, frame);
    const keys = await sessionKeys(key.spipedKey, this.#nonces, own, peer);
    try {
      const value = proveValue(own.publicValue, this.#macs.server);
      const answer = message(environment.context, true, concat(value, NO_TAG));
      writeSharedTag(answer, keys, RESPONDER_TAG, third);
      const last = extendTranscript(third, answer);
      // The initiator has proven that it holds the key, not yet that it saw the same messages: its first envelope does.
      return { frame: answer, secrets: [closed(this.#run, keys, last, false)] };
    } finally {
      keys.wipe();
    }
  }

  #readValue(data: Uint8Array): Uint8Array {
    try {
      const reader = new Reader(data);
      const peer = readValue(reader, this.#macs.client);
      reader.end();
      return peer;
    } catch (error) {
      // A stand-in for an unknown key is a wrong key for everybody; the log says which it was.
      throw this.#run.known ? error : keyFailure('unknown-label', `label ${this.#run.offer.label}`);
    }
  }

  wipe(): void {
    wipeMacs(this.#macs);
  }
}

/** S = Extract(T_4, dk_2). */
function closed(
  { environment, offer, key }: Run,
  keys: Secret,
  transcript: Uint8Array,
  confirmed: boolean,
): RunSecret {
  return runSecret(environment, offer, { shared: keys, transcript, provenBy: key, confirmed });
}

function wipeMacs(macs: ExchangeMacs): void {
  macs.client.wipe();
  macs.server.wipe();
}

const RESPONDER_TAG = ascii('keymux/1 spiped responder');
