import { ascii, concat, u64 } from '../bytes.ts';
import {
  aeadKey,
  HASH_LENGTH,
  hkdfExpand,
  hkdfExtract,
  openAes256Gcm,
  sealAes256Gcm,
  sha256,
  TAG_LENGTH,
  X25519_LENGTH,
  type X25519Key,
} from '../crypto.ts';
import { keyFailure } from '../errors.ts';
import { Reader } from '../reader.ts';
import { Secret } from '../secret.ts';
import { agreeX25519 } from './x25519-agreement.ts';

/** What a message does, in order (Noise 5.3, 9.2). Both sides do the same for each of these, so they need no roles. */
export type NoiseToken = 'e' | 'ee' | 'psk';

export interface NoiseOptions {
  /** `Noise_<pattern>_25519_AESGCM_SHA256`. */
  readonly protocol: string;
  /** The tokens of each message. */
  readonly pattern: readonly (readonly NoiseToken[])[];
  readonly prologue: Uint8Array;
  /** 32 bytes; needed if the pattern has `psk`. */
  readonly psk?: Secret;
  /** Makes this side's ephemeral key, when its message needs it. */
  readonly ephemeral: () => X25519Key;
}

/**
 * A handshake of the Noise Protocol Framework, revision 34, for patterns without static keys: HandshakeState of section 5.3 with
 * 25519, AESGCM and SHA256. Its messages are written and read in the order of the pattern.
 */
export class NoiseHandshake {
  readonly #symmetric: SymmetricState;
  readonly #psk: Secret | undefined;
  readonly #makeEphemeral: () => X25519Key;
  /** The tokens of the messages to come. */
  readonly #messages: (readonly NoiseToken[])[];
  readonly #mixesPublicValues: boolean;
  #own: X25519Key | undefined;
  #peer: Uint8Array | undefined;

  constructor({ protocol, pattern, prologue, psk, ephemeral }: NoiseOptions) {
    this.#symmetric = new SymmetricState(protocol);
    this.#symmetric.mixHash(prologue);
    this.#psk = psk;
    this.#makeEphemeral = ephemeral;
    this.#messages = [...pattern];
    // With a psk, `e` enters the key too, so that the first message has a key of its own (Noise 9.2).
    this.#mixesPublicValues = pattern.flat().includes('psk');
  }

  writeMessage(payload: Uint8Array): Uint8Array {
    const message: Uint8Array[] = [];
    for (const token of this.#messages.shift() ?? []) {
      if (token === 'e') {
        this.#own = this.#makeEphemeral();
        this.#mixPublicValue(this.#own.publicValue);
        message.push(this.#own.publicValue);
      } else this.#mixSecret(token);
    }
    message.push(this.#symmetric.encryptAndHash(payload));
    return concat(...message);
  }

  /** Returns the payload. Throws KeyError (session) if the message is not right. */
  readMessage(message: Uint8Array): Uint8Array {
    const reader = new Reader(message);
    let length = message.length;
    for (const token of this.#messages.shift() ?? []) {
      if (token === 'e') {
        this.#peer = Uint8Array.from(reader.take(X25519_LENGTH));
        this.#mixPublicValue(this.#peer);
        length -= X25519_LENGTH;
      } else this.#mixSecret(token);
    }
    return this.#symmetric.decryptAndHash(reader.take(length));
  }

  /** After the last message: k1 || k2, for the initiator's and the responder's direction. */
  split(): Secret {
    return this.#symmetric.split();
  }

  /** h of Noise 5.2, the same on both sides. */
  get handshakeHash(): Uint8Array {
    return this.#symmetric.hash;
  }

  wipe(): void {
    this.#symmetric.wipe();
  }

  #mixPublicValue(value: Uint8Array): void {
    this.#symmetric.mixHash(value);
    if (this.#mixesPublicValues) this.#symmetric.mixKey(value);
  }

  #mixSecret(token: 'ee' | 'psk'): void {
    const [psk, own, peer] = [this.#psk, this.#own, this.#peer];
    if (token === 'psk' && psk !== undefined) {
      psk.use((bytes) => this.#symmetric.mixKeyAndHash(bytes));
    } else if (token === 'ee' && own !== undefined && peer !== undefined) {
      const shared = agreeX25519(own, peer);
      shared.use((bytes) => this.#symmetric.mixKey(bytes));
      shared.wipe();
    } else throw new RangeError(`the token "${token}" came before what it needs`);
  }
}

/** SymmetricState with its CipherState (Noise 5.1, 5.2). */
class SymmetricState {
  #hash: Uint8Array;
  #chainingKey: Uint8Array;
  /** k; undefined until something secret was mixed in. */
  #key: Uint8Array | undefined;
  /** n. */
  #counter = 0;

  constructor(protocol: string) {
    const name = ascii(protocol);
    this.#hash =
      name.length > HASH_LENGTH ? sha256(name) : concat(name, new Uint8Array(HASH_LENGTH - name.length));
    this.#chainingKey = Uint8Array.from(this.#hash);
  }

  get hash(): Uint8Array {
    return this.#hash;
  }

  mixHash(data: Uint8Array): void {
    this.#hash = sha256(this.#hash, data);
  }

  mixKey(input: Uint8Array): void {
    const output = this.#derive(input, 2);
    this.#setKeys(output.subarray(0, HASH_LENGTH), output.subarray(HASH_LENGTH));
    output.fill(0);
  }

  mixKeyAndHash(input: Uint8Array): void {
    const output = this.#derive(input, 3);
    this.mixHash(output.subarray(HASH_LENGTH, 2 * HASH_LENGTH));
    this.#setKeys(output.subarray(0, HASH_LENGTH), output.subarray(2 * HASH_LENGTH));
    output.fill(0);
  }

  encryptAndHash(plaintext: Uint8Array): Uint8Array {
    const ciphertext =
      this.#key === undefined
        ? plaintext
        : concat(...sealAes256Gcm(aeadKey(this.#key), this.#nonce(), this.#hash, [plaintext]));
    this.mixHash(ciphertext);
    return ciphertext;
  }

  decryptAndHash(ciphertext: Uint8Array): Uint8Array {
    const plaintext =
      this.#key === undefined
        ? ciphertext
        : openAes256Gcm(aeadKey(this.#key), this.#nonce(), this.#hash, ciphertext);
    if (plaintext === undefined) throw keyFailure('wrong-key');
    this.mixHash(ciphertext);
    return plaintext;
  }

  split(): Secret {
    return Secret.take(this.#derive(new Uint8Array(0), 2));
  }

  wipe(): void {
    this.#chainingKey.fill(0);
    this.#key?.fill(0);
  }

  /** HKDF of Noise 4.3: RFC 5869 without info. */
  #derive(input: Uint8Array, outputs: number): Uint8Array {
    const key = hkdfExtract(this.#chainingKey, input);
    const output = hkdfExpand(key, new Uint8Array(0), outputs * HASH_LENGTH);
    key.fill(0);
    return output;
  }

  #setKeys(chainingKey: Uint8Array, key: Uint8Array): void {
    this.wipe();
    this.#chainingKey = Uint8Array.from(chainingKey);
    this.#key = Uint8Array.from(key);
    this.#counter = 0;
  }

  /** 32 bits of zeros and n, big-endian (Noise 12.4). */
  #nonce(): Uint8Array {
    return concat(new Uint8Array(4), u64(this.#counter++));
  }
}

/** Bytes of a message with one `e` and an empty payload under a key. */
export const NOISE_MESSAGE_LENGTH = X25519_LENGTH + TAG_LENGTH;
