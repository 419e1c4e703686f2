import { MAX_STREAM_ID, SETTING, type Setting, type Settings } from '@keymux/frames';
import { Accounts } from './budgets.ts';
import { DEFAULT_CONFIG, type SessionConfig, sessionConfig } from './config.ts';
import { UsageError } from './errors.ts';
import type { KeyPort, RunningHash } from './key-port.ts';
import { SessionWindows } from './session-windows.ts';
import type { Role, SessionState } from './state.ts';
import { WindowGrowth, type WindowShare } from './window-growth.ts';

/** Bytes we may send on a stream until the peer's SETTINGS say otherwise (SPDY/3.1, spec 2.5). */
const INITIAL_STREAM_WINDOW = 65_536;

export interface SessionOptions {
  readonly role: Role;
  readonly config?: Partial<SessionConfig>;
  /** Without keys the session is plain SPDY/3.1. */
  readonly keys?: KeyPort | undefined;
  /** SHA-256; needed with keys. */
  readonly createHash?: (() => RunningHash) | undefined;
  /** Lets the windows of streams grow; without it they stay as they are. */
  readonly windowShare?: WindowShare | undefined;
  /** Now, in milliseconds of any monotonic clock. */
  readonly now: number;
  /** Server: the carrier is the link of a front (spec 10.5). */
  readonly link?: boolean;
  /** The ID of the first stream this side opens, if not the lowest; odd for a client, even for a server. */
  readonly firstStreamId?: number;
}

/** How a session begins. Throws UsageError `ERR_KEYMUX_CONFIG`. */
export function initialState(
  { role, keys, createHash, windowShare, now, link = false, ...options }: SessionOptions,
  hooks: Pick<SessionState, 'emit' | 'pollKeys'>,
): SessionState {
  const config = sessionConfig(options.config);
  if (keys !== undefined && createHash === undefined) {
    throw new UsageError('ERR_KEYMUX_CONFIG', 'a session with keys needs createHash');
  }
  if (link && (role !== 'server' || keys === undefined)) {
    throw new UsageError('ERR_KEYMUX_CONFIG', 'behind a front is a server with keys');
  }
  return {
    role,
    config,
    keys,
    createHash: keys && createHash,
    accounts: new Accounts(config.budgets),
    streams: new Map(),
    windows: new SessionWindows(config.sessionWindow, {
      perKey: link,
      known: config.peerFlowControl === 'full',
    }),
    // How far away the client is, only its front could measure.
    growth: windowShare && !link ? new WindowGrowth(windowShare, mostGrowth(config)) : undefined,
    link,
    fronted: link,
    hostKeys: new Set(),
    leavingKeys: new Map(),
    ...hooks,
    // What holds until the peer's SETTINGS come (spec 2.1).
    peerStreamWindow: INITIAL_STREAM_WINDOW,
    switchLimit: Math.min(config.switchLimit, DEFAULT_CONFIG.switchLimit),
    peerMaxStreams: Number.POSITIVE_INFINITY,
    peerStreams: 0,
    heldStreams: new Map(),
    headerBytes: 0,
    waitingPayload: 0,
    ourStreams: 0,
    lastPeerStreamId: 0,
    closingKeys: new Set(),
    retiredKeys: new Set(),
    peerGoneAway: false,
    unconsumed: 0,
    draining: false,
    now,
  };
}

/** The ID of the first stream that this side opens. */
export function firstStreamId({ role, firstStreamId: id }: SessionOptions): number {
  const parity = role === 'client' ? 1 : 0;
  if (id === undefined) return 2 - parity;
  if (Number.isInteger(id) && id > 0 && id <= MAX_STREAM_ID && id % 2 === parity) return id;
  throw new UsageError('ERR_KEYMUX_CONFIG', `firstStreamId ${id} is no stream ID of a ${role}`);
}

/** What this side says about itself before anything else (spec 2.1, 2.6). */
export function announcement({ config, keys, role }: SessionState): Settings {
  const entries: Setting[] = [
    { id: SETTING.MAX_CONCURRENT_STREAMS, value: config.maxConcurrentStreams, flags: 0 },
    { id: SETTING.INITIAL_WINDOW_SIZE, value: config.streamWindow, flags: 0 },
  ];
  if (keys !== undefined && config.algorithms !== 0) {
    const depth = role === 'client' ? config.depth : 0;
    entries.push({ id: SETTING.KEYMUX, value: depth * 2 ** 24 + config.algorithms, flags: 0 });
    entries.push({ id: SETTING.KEYMUX_SWITCH_LIMIT, value: config.switchLimit, flags: 0 });
  }
  return { type: 'settings', clear: false, entries };
}

/** A stream needs no larger window than the session has. */
function mostGrowth({ sessionWindow, streamWindow }: SessionConfig): number {
  return Math.max(0, sessionWindow - streamWindow);
}
