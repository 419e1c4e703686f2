/** What an error ends: the session it happened in, or only the call that was made wrongly. */
export type KeyErrorScope = 'session' | 'usage';

export type KeyErrorCode =
  /** Everything a peer can cause (spec 3.3, rule R4). The peer learns this much and no more. */
  | 'ERR_KEYMUX_KEY_FAILURE'
  /** This side has used all its key IDs in this session (spec 3.1). */
  | 'ERR_KEYMUX_IDS_EXHAUSTED'
  /** A key has sealed all that it may (spec 4.1). */
  | 'ERR_KEYMUX_KEY_EXHAUSTED'
  /** The caller asked for a key that is not in the keyring, or not for this authority and role. */
  | 'ERR_KEYMUX_KEY_UNKNOWN'
  /** The keeper has as many runs as it takes. */
  | 'ERR_KEYMUX_KEEPER_BUSY'
  /** The process of the keeper cannot be reached, or does not answer (spec 12.5). */
  | 'ERR_KEYMUX_KEEPER_AWAY'
  /** A key file that cannot be used or made. */
  | 'ERR_KEYMUX_KEY_FILE'
  /** An identity that cannot be used: its file or its agent. */
  | 'ERR_KEYMUX_IDENTITY'
  /** An authorized_keys or known_hosts file that cannot be used. */
  | 'ERR_KEYMUX_TRUST_FILE'
  /** A host that is not known, or proved another identity than the known one (trust chapter). */
  | 'ERR_KEYMUX_HOST_KEY'
  /** A call that this state or these arguments do not allow. */
  | 'ERR_KEYMUX_KEY_USAGE';

/**
 * Why a run or an envelope failed. For the local log: none of it is ever sent, and the code towards the session is the same
 * for all of them.
 */
export type FailureReason = keyof typeof FAILURES;

/** All reasons. */
export function failureReasons(): readonly FailureReason[] {
  return Object.keys(FAILURES) as FailureReason[];
}

/** Every error that this package throws on purpose. The message tells the local user cause and remedy. */
export class KeyError extends Error {
  override readonly name = 'KeyError';
  readonly code: KeyErrorCode;
  readonly scope: KeyErrorScope;
  /** Set if the code is ERR_KEYMUX_KEY_FAILURE. */
  readonly reason: FailureReason | undefined;

  constructor(
    code: KeyErrorCode,
    message: string,
    options: { scope?: KeyErrorScope; reason?: FailureReason; cause?: unknown } = {},
  ) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.code = code;
    this.scope = options.scope ?? 'usage';
    this.reason = options.reason;
  }
}

/** A failure that ends the session, whoever caused it. */
export function keyFailure(reason: FailureReason, detail?: string, cause?: unknown): KeyError {
  const message = detail === undefined ? FAILURES[reason] : `${FAILURES[reason]}: ${detail}`;
  return new KeyError('ERR_KEYMUX_KEY_FAILURE', message, { scope: 'session', reason, cause });
}

/** What a keeper throws or rejects with, if it is not a KeyError, is its own trouble and not the peer's. */
export function asKeyError(error: unknown): KeyError {
  if (error instanceof KeyError) return error;
  return keyFailure('keeper', error instanceof Error ? error.message : undefined, error);
}

/** A call that cannot be carried out; nothing has changed and nothing was sent. */
export function usageError(message: string, code: KeyErrorCode = 'ERR_KEYMUX_KEY_USAGE'): KeyError {
  return new KeyError(code, message);
}

const FAILURES = {
  'key-id': 'the peer began a negotiation with a key ID that it may not use',
  unexpected: 'the peer sent a negotiation message that is not the one awaited',
  malformed: 'the peer sent a malformed negotiation message',
  'wrong-key':
    'the peer does not hold the same key, or somebody changed a message; compare the key files of both sides',
  'unknown-label':
    'the peer asked for a key that is not configured here for this authority and role; add the key or correct the label',
  clock:
    'the clocks of both sides differ by more than 30 seconds; set them, or negotiate with spiped (ALG 2)',
  replay: 'a first message was accepted before, or was made by this side itself; somebody repeats messages',
  'replay-cache-full':
    'more first messages than the replay cache holds were accepted in a minute; negotiate with spiped (ALG 2)',
  'own-message':
    "this side's own message came back; it is connected to itself, or somebody reflects messages",
  'not-anonymous':
    'the peer asked for an anonymous key, which is not allowed here for this authority; allow it, or share a key',
  'other-key':
    'the peer renegotiated a key as something else than it was: with another label, authority or identity',
  changed: 'the two sides have not seen the same messages; somebody changed one',
  group: 'the peer sent a Diffie-Hellman value outside 1 < y < p - 1',
  signature: 'the peer did not prove the identity that it claims; somebody may be posing as it',
  untrusted: 'the peer has proven an identity that is not trusted here for this use',
  'public-key': 'the peer sent a public key that is of small order (X25519) or out of range (ML-KEM)',
  timeout: 'the negotiation was not finished in time; the peer, or the keeper, does not answer',
  keeper: 'the keeper could not take the next step',
  envelope: 'an envelope does not open; it was lost, repeated, moved or changed on the way',
  packet:
    'a packet of a spiped connection is not authentic; it was lost, repeated, moved, cut or changed on the way',
  limit: 'the peer sealed more under one key than the key may carry',
} as const;
