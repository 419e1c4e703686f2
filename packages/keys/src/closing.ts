import { HASH_LENGTH, hkdfExpand, hkdfExtract } from './crypto.ts';
import type { Environment } from './handshake.ts';
import { describeIdentity, fingerprint } from './identity/public-key.ts';
import { PeerVerified } from './identity/trust.ts';
import type { Offer, RunSecret } from './keeper.ts';
import type { PreSharedKey } from './pre-shared-key.ts';
import { Secret } from './secret.ts';
import { checkTag, tagTranscript, writeTag } from './transcript.ts';

/** What the algorithms close their messages and runs with: tags, and S (spec 3.5). */

/** What may prove the peer: that it holds this key, or an identity that was verified. Nothing else makes a key `authenticated`. */
type Proof = PreSharedKey | PeerVerified;

export interface Closing {
  /** What only the two sides know. Stays the caller's to wipe. */
  readonly shared: Secret;
  /** T_n, the transcript up to and with the message that ends the run. */
  readonly transcript: Uint8Array;
  /** Absent if nobody is proven: the key is `passive`. */
  readonly provenBy?: Proof;
  /** Whether the proof is there already, or comes with the first envelope. */
  readonly confirmed: boolean;
  /** Default true. */
  readonly forwardSecrecy?: boolean;
  /** By default the one generation of the run, for both directions. */
  readonly part?: Pick<RunSecret, 'generation' | 'directions' | 'early'> | undefined;
}

/** S = Extract(T_n, shared), and what the key it makes is known by. */
export function runSecret(
  { context }: Environment,
  { label, authority }: Offer,
  closing: Closing,
): RunSecret {
  const { shared, transcript, provenBy, confirmed, forwardSecrecy = true, part } = closing;
  const made: RunSecret = {
    secret: shared.use((bytes) => Secret.take(hkdfExtract(transcript, bytes))),
    generation: part?.generation ?? context.generation,
    directions: part?.directions ?? 'both',
    early: part?.early ?? false,
    confirmed,
    level: provenBy === undefined ? 'passive' : 'authenticated',
    forwardSecrecy,
    algorithm: context.algorithm,
    label,
    authority,
    peer: provenBy === undefined ? 'anonymous' : `psk:${label}`,
  };
  return provenBy !== undefined && PeerVerified.is(provenBy) ? { ...made, ...verifiedPeer(provenBy) } : made;
}

function verifiedPeer({
  identity,
  principal,
  restrictions,
}: PeerVerified): Pick<RunSecret, 'peer' | 'identity' | 'restrictions'> {
  return {
    peer: describeIdentity(identity, principal),
    identity: { fingerprint: fingerprint(identity), name: principal },
    ...(restrictions === undefined ? {} : { restrictions }),
  };
}

/** Writes the tag that a holder of the key makes: its tag key is Expand(K_psk, info, 32). */
export function writeKeyTag(
  frame: Uint8Array,
  key: PreSharedKey,
  info: Uint8Array,
  transcript: Uint8Array,
): void {
  withKey(keyTagKey(key, info), (tagKey) => writeTag(frame, tagKey, transcript));
}

/** Whether `frame` ends with that tag. */
export function checkKeyTag(
  frame: Uint8Array,
  key: PreSharedKey,
  info: Uint8Array,
  transcript: Uint8Array,
): boolean {
  return withKey(keyTagKey(key, info), (tagKey) => checkTag(frame, tagKey, transcript));
}

/**
 * Writes the tag that says that both sides know the secret and have seen the same messages: its tag key is
 * Expand(Extract(T'_n, shared), info, 32).
 */
export function writeSharedTag(
  frame: Uint8Array,
  shared: Secret,
  info: Uint8Array,
  transcript: Uint8Array,
): void {
  const tagKey = sharedTagKey(shared, info, tagTranscript(transcript, frame));
  withKey(tagKey, (key) => writeTag(frame, key, transcript));
}

/** Whether `frame` ends with that tag. */
export function checkSharedTag(
  frame: Uint8Array,
  shared: Secret,
  info: Uint8Array,
  transcript: Uint8Array,
): boolean {
  const tagKey = sharedTagKey(shared, info, tagTranscript(transcript, frame));
  return withKey(tagKey, (key) => checkTag(frame, key, transcript));
}

function keyTagKey(key: PreSharedKey, info: Uint8Array): Uint8Array {
  return key.psk.use((bytes) => hkdfExpand(bytes, info, HASH_LENGTH));
}

function sharedTagKey(shared: Secret, info: Uint8Array, upToTag: Uint8Array): Uint8Array {
  const extracted = shared.use((bytes) => hkdfExtract(upToTag, bytes));
  return withKey(extracted, (key) => hkdfExpand(key, info, HASH_LENGTH));
}

/** Uses a key once and zeroes it. */
function withKey<T>(key: Uint8Array, use: (key: Uint8Array) => T): T {
  try {
    return use(key);
  } finally {
    key.fill(0);
  }
}
