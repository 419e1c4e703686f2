import { createCipheriv, createHash, createPrivateKey, createPublicKey, sign } from 'node:crypto';
import {
  cat,
  expand,
  extract,
  frame,
  H,
  HMAC,
  number,
  offerFields,
  type RunInputs,
  type Transcribed,
  t0,
  text,
} from './reference-keys.ts';
import { publicOf, x25519 } from './reference-x25519.ts';

/** ALG 4 in the naive second writing that reference-keys.ts begins. Only Ed25519 is the library's. */

function privateKey(seed: Buffer) {
  const head = Buffer.from('302e020100300506032b657004220420', 'hex');
  return createPrivateKey({ key: cat(head, seed), format: 'der', type: 'pkcs8' });
}

/** The identity with this private seed. */
export function identityOf(seed: Buffer): Buffer {
  return createPublicKey(privateKey(seed)).export({ format: 'der', type: 'spki' }).subarray(-32);
}

const string = (value: Uint8Array): Buffer => cat(number(value.length, 4), value);

/** `TYPE BASE64`, as in authorized_keys. */
export function publicLine(identity: Buffer): string {
  return `ssh-ed25519 ${cat(string(text('ssh-ed25519')), string(identity)).toString('base64')}`;
}

/** What a dishonest side, which takes part in the key exchange, may put in the place of what is right. */
export interface ProofLies {
  /** Seed of the key that signs. */
  readonly signer?: Buffer;
  readonly identity?: Buffer;
  /** Identity that the MAC is made over. */
  readonly mac?: Buffer;
  readonly label?: string;
  readonly authority?: string;
  /** In the place of U_n, where it is signed. */
  readonly transcript?: Buffer;
  /** Initiator only: the responder's identity, as it is signed. */
  readonly responder?: Buffer;
  readonly namespace?: string;
  readonly hash?: 'sha256' | 'sha512';
  /** Sign the bytes of the message themselves, without SSHSIG. */
  readonly bare?: true;
  readonly signature?: Buffer;
  readonly z?: Buffer;
}

export interface SignedSecrets {
  readonly secretI: Buffer;
  readonly secretR: Buffer;
  readonly seedI: Buffer;
  readonly seedR: Buffer;
}

export interface SignedLies {
  readonly eI?: Buffer;
  readonly eR?: Buffer;
  readonly R?: ProofLies;
  readonly I?: ProofLies;
}

/** ALG 4 (3.13). */
export function signedRun(inputs: RunInputs, secrets: SignedSecrets, lies: SignedLies = {}) {
  const { secretI, secretR, seedI, seedR } = secrets;
  const eI = lies.eI ?? publicOf(secretI);
  const eR = lies.eR ?? publicOf(secretR);
  const Z = lies.eI ? x25519(secretR, eI) : x25519(secretI, eR);
  const identityR = identityOf(seedR);

  function proof(role: 'initiator' | 'responder', U: Buffer, seed: Buffer, told: ProofLies): Buffer {
    const keys = expand(extract(U, told.z ?? Z), text(`keymux/1 signed ${role}`), 76);
    const identity = told.identity ?? identityOf(told.signer ?? seed);
    const authority = told.authority ?? inputs.authority;
    const M = H(
      text(told.label ?? `keymux/1 signed ${role}`),
      Buffer.of(0),
      told.transcript ?? U,
      number(authority.length, 1),
      text(authority),
      role === 'initiator' ? (told.responder ?? identityR) : Buffer.alloc(0),
    );
    const hash = told.hash ?? 'sha512';
    const blob = cat(
      text('SSHSIG'),
      string(text(told.namespace ?? 'session-identity@keymux')),
      string(Buffer.alloc(0)),
      string(text(hash)),
      string(createHash(hash).update(M).digest()),
    );
    const signature = told.signature ?? sign(null, told.bare ? M : blob, privateKey(told.signer ?? seed));
    const plain = cat(identity, signature, HMAC(keys.subarray(44), told.mac ?? identity));
    const options = { authTagLength: 16 } as const;
    const cipher = createCipheriv('aes-256-gcm', keys.subarray(0, 32), keys.subarray(32, 44), options).setAAD(
      U,
    );
    return cat(cipher.update(plain), cipher.final(), cipher.getAuthTag());
  }

  /** The frame with its proof, and what stands before the proof hashed. */
  function prove(whole: Buffer, T: Buffer, role: 'initiator' | 'responder', seed: Buffer, told: ProofLies) {
    const U = H(T, whole.subarray(0, -144));
    return { F: cat(whole.subarray(0, -144), proof(role, U, seed, told)), U };
  }

  const id = inputs.keyId;
  const T0 = t0(inputs);
  const F1 = frame(id, 4, 0, cat(offerFields(inputs), eI));
  const T1 = H(T0, F1);
  const second = frame(id, 4, 1, cat(eR, Buffer.alloc(144)));
  const { F: F2, U: U2 } = prove(second, T1, 'responder', seedR, lies.R ?? {});
  const T2 = H(T1, F2);
  const { F: F3, U: U3 } = prove(frame(id, 4, 1, Buffer.alloc(144)), T2, 'initiator', seedI, lies.I ?? {});
  const T3 = H(T2, F3);
  const transcribed: Transcribed = {
    frames: [F1, F2, F3],
    transcripts: [T0, T1, T2, T3],
    secrets: [extract(T3, Z)],
  };
  return { ...transcribed, Z, U2, U3 };
}
