import { createCipheriv, createDecipheriv, hkdfSync } from 'node:crypto';
import { X25519Key } from '@keymux/keys';

// State is sealed for the one process that takes it (spec 13.12): whoever relays it, or gets a dump of who does, has ciphertext.

const TAG_LENGTH = 16;

/** A key pair that a taker makes for one hand-over. */
export class OneTimeKey {
  readonly #key = X25519Key.generate();
  readonly publicKey = this.#key.publicValue;

  /** Opens the parts that `sealTo` has made, in their order. Throws if one is not what was sealed. */
  opener(
    name: Uint8Array,
    giverKey: Uint8Array,
  ): (part: number, last: boolean, sealed: Uint8Array) => Uint8Array {
    const key = sharedKey(this.#key, giverKey, name, giverKey, this.publicKey);
    return (part, last, sealed) => {
      const decipher = createDecipheriv('aes-256-gcm', key, nonceOf(part), { authTagLength: TAG_LENGTH });
      decipher.setAAD(aadOf(part, last));
      const end = sealed.length - TAG_LENGTH;
      if (end < 0) throw new Error('a part of the state is too short');
      decipher.setAuthTag(sealed.subarray(end));
      const plain = decipher.update(sealed.subarray(0, end));
      decipher.final();
      return plain;
    };
  }
}

export interface PartSealer {
  /** Goes ahead of the first part. */
  readonly publicKey: Uint8Array;
  seal(part: number, last: boolean, bytes: Uint8Array): Uint8Array;
}

/** Seals to the key of a taker, by a key pair of which nothing is left when this is. Throws if the taker's key is none. */
export function sealTo(name: Uint8Array, takerKey: Uint8Array): PartSealer {
  const ours = X25519Key.generate();
  const publicKey = ours.publicValue;
  const key = sharedKey(ours, takerKey, name, publicKey, takerKey);
  return {
    publicKey,
    seal: (part, last, bytes) => {
      const cipher = createCipheriv('aes-256-gcm', key, nonceOf(part), { authTagLength: TAG_LENGTH });
      cipher.setAAD(aadOf(part, last));
      return Buffer.concat([cipher.update(bytes), cipher.final(), cipher.getAuthTag()]);
    },
  };
}

function sharedKey(
  ours: X25519Key,
  theirs: Uint8Array,
  name: Uint8Array,
  giver: Uint8Array,
  taker: Uint8Array,
): Uint8Array {
  const secret = ours.agree(theirs);
  if (secret === undefined) throw new Error('the key of the other side is of small order');
  const info = Buffer.concat([Buffer.from('keymux/1 hand-over'), giver, taker]);
  const key = new Uint8Array(hkdfSync('sha256', secret, name, info, 32));
  secret.fill(0);
  return key;
}

/** Parts are numbered, and each key is for one hand-over. */
function nonceOf(part: number): Uint8Array {
  const nonce = Buffer.alloc(12);
  nonce.writeUInt32BE(part, 8);
  return nonce;
}

function aadOf(part: number, last: boolean): Uint8Array {
  const aad = Buffer.alloc(5);
  aad.writeUInt32BE(part);
  aad.writeUInt8(last ? 1 : 0, 4);
  return aad;
}
