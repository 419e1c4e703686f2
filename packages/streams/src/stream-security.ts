import type { StateReader, StateWriter } from '@keymux/frames';
import { loadKeyInfo, saveKeyInfo } from '@keymux/keys';
import type { KeyInfo, Level } from '@keymux/session';

/** Who is proven to be at the other end. Two are the same if they have the same `id`. */
export interface PeerIdentity {
  readonly kind: 'shared-key' | 'ssh';
  /** The label of the shared key, any of whose holders it may be, or the fingerprint of the SSH identity. */
  readonly id: string;
  /** The name it was trusted as: that of `known_hosts` for a host, the comment of the line in `authorized_keys` for a client. */
  readonly name: string | undefined;
}

/**
 * How far a key reaches (spec 3.9): `end-to-end` if it speaks for a host, so that nobody between reads what it seals; `hop` if it speaks for the
 * peer that ends this session, which may be a proxy.
 */
export type Reach = 'hop' | 'end-to-end';

/** What protects a message, or a part of one: a header set, payload, a direction of a stream (spec 3.9). */
export interface Protection {
  readonly level: Level;
  /** Undefined in the clear, under a key that proves nobody, and for parts together that come from different peers. */
  readonly peer: PeerIdentity | undefined;
  /** Undefined in the clear. */
  readonly reach: Reach | undefined;
  readonly forwardSecrecy: boolean;
  /** It may be a replay (spec 3.7). */
  readonly early: boolean;
  /** The key it is sealed under; undefined in the clear. Of parts together, that of the weakest. */
  readonly key: KeyInfo | undefined;
}

/** The protection of a stream (spec 3.9). */
export interface StreamSecurity {
  /** The weakest of what was sent and received, payload included. */
  readonly level: Level;
  /** All that this side has sent together, so the weakest of each property: heads and payload. */
  readonly sent: Protection;
  /** The same of what has come so far: what came in the clear gains nothing from a later key. */
  readonly received: Protection;
  /** What comes now. */
  readonly receiving: Protection;
  /** The peer's head, SYN_STREAM or SYN_REPLY, as it came: what comes later changes nothing of it. Clear until it has come. */
  readonly head: Protection;
  /** Level of the payload: `none` if it travels outside envelopes, whatever protects itself inside (spec 4.6). */
  readonly payload: Level;
  /** Some of what was received may be a replay (spec 3.7). */
  readonly early: boolean;
}

const STRENGTH: Record<Level, number> = { none: 0, passive: 1, authenticated: 2 };
const REACH: Record<Reach, number> = { hop: 1, 'end-to-end': 2 };
/** What protects nothing. */
export const CLEAR: Protection = {
  level: 'none',
  peer: undefined,
  reach: undefined,
  forwardSecrecy: false,
  early: false,
  key: undefined,
};

/** The weaker of two levels. */
export function weaker(a: Level, b: Level): Level {
  return satisfies(a, b) ? b : a;
}

/** The stronger of two levels. */
export function stronger(a: Level, b: Level): Level {
  return satisfies(a, b) ? a : b;
}

/** Whether a level satisfies a required one. */
export function satisfies(level: Level, required: Level): boolean {
  return STRENGTH[level] >= STRENGTH[required];
}

/** What a key protects; without one, the clear. */
export function protection(key: KeyInfo | undefined): Protection {
  if (key === undefined) return CLEAR;
  const { level, authority, forwardSecrecy, early } = key;
  const reach = authority === '' ? 'hop' : 'end-to-end';
  return { level, peer: peerOf(key), reach, forwardSecrecy, early, key };
}

/**
 * Whether `protection` is at least as strong as `other` in level, reach and forward secrecy, and proves the same peer if the other proves one: what was
 * learned under `other` may travel under it.
 */
export function isAsStrongAs(protection: Protection, other: Omit<Protection, 'early' | 'key'>): boolean {
  return (
    satisfies(protection.level, other.level) &&
    reachOf(protection) >= reachOf(other) &&
    (protection.forwardSecrecy || !other.forwardSecrecy) &&
    (other.peer === undefined || samePeer(protection.peer, other.peer))
  );
}

/** Keeps account of how one direction of a stream is protected. */
export class DirectionSecurity {
  #now: Protection = CLEAR;
  #together: Protection | undefined;

  /** The protection of what travels from here on. */
  get now(): Protection {
    return this.#now;
  }

  /** What has travelled, together; clear while nothing has. */
  get together(): Protection {
    return this.#together ?? CLEAR;
  }

  switchTo(key: KeyInfo | undefined): void {
    this.#now = protection(key);
  }

  /** Something travels, by default where the direction is bound. */
  note(travelling = this.#now): void {
    if (this.#together === travelling) return;
    this.#together = this.#together === undefined ? travelling : meet(this.#together, travelling);
  }

  save(writer: StateWriter): void {
    saveProtection(writer, this.#now);
    writer.optional(this.#together, (together) => saveProtection(writer, together));
  }

  load(reader: StateReader): void {
    this.#now = loadProtection(reader);
    this.#together = reader.optional(() => loadProtection(reader));
  }
}

/** What holds for both of two parts. */
function meet(earlier: Protection, later: Protection): Protection {
  const laterIsWeakest = satisfies(earlier.level, later.level);
  return {
    level: laterIsWeakest ? later.level : earlier.level,
    peer: samePeer(earlier.peer, later.peer) ? earlier.peer : undefined,
    reach: reachOf(earlier) < reachOf(later) ? earlier.reach : later.reach,
    forwardSecrecy: earlier.forwardSecrecy && later.forwardSecrecy,
    early: earlier.early || later.early,
    key: laterIsWeakest ? later.key : earlier.key,
  };
}

function peerOf({ level, label, identity }: KeyInfo): PeerIdentity | undefined {
  if (level !== 'authenticated') return undefined;
  if (identity !== undefined) return { kind: 'ssh', id: identity.fingerprint, name: identity.name };
  return { kind: 'shared-key', id: label, name: undefined };
}

function samePeer(a: PeerIdentity | undefined, b: PeerIdentity | undefined): boolean {
  return a?.kind === b?.kind && a?.id === b?.id;
}

function reachOf({ reach }: Pick<Protection, 'reach'>): number {
  return reach === undefined ? 0 : REACH[reach];
}

export function saveProtection(writer: StateWriter, protection: Protection): void {
  writer.u8(LEVELS.indexOf(protection.level));
  writer.optional(protection.peer, ({ kind, id, name }) => {
    writer.u8(KINDS.indexOf(kind));
    writer.text(id);
    writer.optional(name, (text) => writer.text(text));
  });
  writer.optional(protection.reach, (reach) => writer.u8(REACHES.indexOf(reach)));
  writer.flag(protection.forwardSecrecy);
  writer.flag(protection.early);
  writer.optional(protection.key, (key) => saveKeyInfo(writer, key));
}

export function loadProtection(reader: StateReader): Protection {
  return {
    level: LEVELS[reader.u8(LEVELS.length - 1)] as Level,
    peer: reader.optional(() => ({
      kind: KINDS[reader.u8(KINDS.length - 1)] as PeerIdentity['kind'],
      id: reader.text(),
      name: reader.optional(() => reader.text()),
    })),
    reach: reader.optional(() => REACHES[reader.u8(REACHES.length - 1)] as Reach),
    forwardSecrecy: reader.flag(),
    early: reader.flag(),
    key: reader.optional(() => loadKeyInfo(reader)),
  };
}

/** In the order of the numbers by which they are saved (spec 13.11). */
const LEVELS: readonly Level[] = ['none', 'passive', 'authenticated'];
const KINDS: readonly PeerIdentity['kind'][] = ['shared-key', 'ssh'];
const REACHES: readonly Reach[] = ['hop', 'end-to-end'];
