import { createHash } from 'node:crypto';
import type { StateReader } from '@keymux/frames';
import { type ClientGate, type Keeper, type KeyLog, MovableSha256, type PeerName } from '@keymux/keys';
import { type Role, Session, type SessionConfig } from '@keymux/session';
import { bitSet } from './algorithm-choice.ts';
import type { RenegotiationLimits } from './renegotiation-policy.ts';
import { SessionKeys, type SessionKeysOptions } from './session-keys.ts';
import type { ClosableShare } from './window-pool.ts';

export interface MuxSessionOptions {
  readonly role: Role;
  /** Who holds the long-term keys; without one the session is plain SPDY/3.1. */
  readonly keeper?: Keeper | undefined;
  /** ALG_IDs to announce; by default those that the keeper allows. */
  readonly algorithms?: readonly number[];
  readonly config?: Partial<Omit<SessionConfig, 'algorithms'>>;
  /** On the client's side: the host that the user asked for, whose identity the peer must have if it proves one (spec 9.3). */
  readonly peerName?: PeerName | undefined;
  /** On the server's side: the address that the peer connects from (spec 9.4). */
  readonly peerAddress?: string | undefined;
  /** On the server's side: what all its sessions have to pass to negotiate (spec 7.3). */
  readonly gate?: ClientGate | undefined;
  /** What windows may grow by (spec 7.3); by default out of what all such sessions of the process have together. */
  readonly windowShare?: ClosableShare | undefined;
  /** On the server's side: the carrier is the link of a front, and its FRONT_HELLO has been read (spec 10.5). */
  readonly link?: boolean;
  /**
   * The session may be handed over to another process (spec 13). Then it hashes by means whose state can be saved, which are slower, and lets
   * streams be switched to a key within their first 64 KiB only, unless `config.switchLimit` says more. Not by default.
   */
  readonly movable?: boolean;
  /** Told of each key, with what opens its envelopes; only where somebody has asked for it. */
  readonly keyLog?: KeyLog | undefined;
  /** When the keys that this side negotiates are renegotiated (spec 3.14); by default after 64 GiB or an hour. `false` leaves it to calls. */
  readonly renegotiate?: RenegotiationLimits | false | undefined;
  /** Milliseconds of a monotonic clock. */
  readonly now?: () => number;
}

/** What a MuxSession has by itself of what engine and keys need. */
export interface EngineSurroundings {
  readonly windowShare: ClosableShare;
  readonly now: () => number;
  /** As of SessionKeysOptions. */
  readonly onChange: () => void;
}

/** A session without its carrier. */
export interface Engine {
  readonly session: Session;
  /** Undefined without a keeper. */
  readonly keys: SessionKeys | undefined;
}

/** Streams hash what is clear of them until they cannot be switched any more (spec 13.4). */
export const MOVABLE_CONFIG = { switchLimit: 65_536 };
const movableHash = (): MovableSha256 => new MovableSha256();

/** The engine of a new session. Throws UsageError `ERR_KEYMUX_CONFIG`. */
export function newEngine(options: MuxSessionOptions, surroundings: EngineSurroundings): Engine {
  const { role, keeper, movable = false, config } = options;
  const { windowShare, now } = surroundings;
  const keys = keeper && new SessionKeys(keyOptions(options, keeper, surroundings));
  const algorithms = keeper ? bitSet(options.algorithms ?? keeper.algorithms) : 0;
  const session = new Session({
    role,
    config: { ...(movable && MOVABLE_CONFIG), ...config, algorithms },
    keys: keys?.registry,
    link: options.link ?? false,
    windowShare,
    createHash: movable ? movableHash : () => createHash('sha256'),
    now: now(),
  });
  return { keys, session };
}

/** The engine of a session that has begun in another process, whose blob is wiped (spec 13). Throws UsageError `ERR_KEYMUX_HAND_OVER`. */
export function savedEngine(
  blob: Uint8Array,
  options: MuxSessionOptions,
  surroundings: EngineSurroundings,
): Engine {
  const { keeper, config } = options;
  const { windowShare, now } = surroundings;
  let keys: SessionKeys | undefined;
  const session = Session.thaw(blob, {
    config,
    loadKeys: (reader: StateReader) => {
      if (keeper === undefined) throw reader.malformed('it has keys, and there is no keeper here');
      keys = new SessionKeys(keyOptions(options, keeper, surroundings), reader);
      return keys.registry;
    },
    createHash: movableHash,
    resumeHash: (state) => new MovableSha256(state),
    windowShare,
    now: now(),
  });
  return { keys, session };
}

function keyOptions(
  options: MuxSessionOptions,
  keeper: Keeper,
  { now, onChange }: EngineSurroundings,
): SessionKeysOptions {
  return {
    role: options.role,
    keeper,
    depth: options.config?.depth ?? 0,
    peerName: options.peerName,
    peerAddress: options.peerAddress,
    gate: options.gate,
    keyLog: options.keyLog,
    renegotiate: options.renegotiate ?? {},
    now,
    onChange,
  };
}
