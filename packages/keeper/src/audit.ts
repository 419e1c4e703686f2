import type { KeyErrorCode, Level, Offer, RunContext, SpipedRole } from '@keymux/keys';

/** What a keeper did, or would not do, for whom. Nothing of it is secret; text that peers have chosen is in it. */
export interface AuditEntry {
  /** The connection that asked. */
  readonly caller: string;
  readonly event:
    | 'connected'
    | 'disconnected'
    /** A run was begun, or answered. */
    | 'begun'
    /** A run secret was given out. */
    | 'key'
    /** A run was answered with REJECT. */
    | 'rejected'
    /** A request or a message was refused. */
    | 'refused'
    | 'abandoned'
    /** The caller asks too much. Told once until it may ask again. */
    | 'busy'
    /** The caller said what it may not say, and was disconnected. */
    | 'violation';
  /** Where a caller from elsewhere has connected from, when it comes. */
  readonly from?: string;
  /** The run, as numbered for this caller. */
  readonly run?: number;
  readonly context?: RunContext;
  /** What the run was asked for; absent if the peer's first message is malformed. */
  readonly offer?: Offer;
  /** The same of a handshake of spiped. */
  readonly pipe?: { readonly role: SpipedRole; readonly label: string };
  /** Who was proven, and how strongly. */
  readonly peer?: string;
  readonly level?: Level;
  /** Set if something was refused. */
  readonly code?: KeyErrorCode | 'ERR_KEYMUX_KEEPER_PROTOCOL';
  /** Why, for people. */
  readonly problem?: string;
}
