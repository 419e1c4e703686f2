import type { HeaderList } from '@keymux/frames';
import { type Budgets, DEFAULT_BUDGETS } from './budgets.ts';
import { UsageError } from './errors.ts';
import { checkRanges, LONGEST, type Ranges } from './ranges.ts';

/** The bounds of what a peer can cause in one session (spec 7.2, 7.3). Times are milliseconds, sizes bytes. */
export interface SessionLimits {
  /**
   * How much a peer may send on a new stream before we have consumed it; 65,536 (what it may send before it has heard of it) to
   * 2^31 - 1. This, times the streams, is the memory that a peer can make us hold, and what windows have grown by.
   */
  readonly streamWindow: number;
  /**
   * How much a peer may have on the way to us on all streams together, and by how much the windows of streams may grow together on a long path (spec 2.5);
   * 65,536 to 2^31 - 1.
   */
  readonly sessionWindow: number;
  /** Streams the peer may have open at a time; more are refused. */
  readonly maxConcurrentStreams: number;
  /**
   * Bytes of clear DATA after which a stream direction cannot be switched to a key (spec 4.5); at least 65,536, which
   * is what a peer can send before it has heard our limit.
   */
  readonly switchLimit: number;
  /** Silence after which a PING asks whether the peer is alive; 0 never asks. */
  readonly keepAlive: number;
  /** How long that PING may stay unanswered. */
  readonly keepAliveTimeout: number;
  /** How long after GOAWAY open streams may take to end. */
  readonly drainTimeout: number;
  /** How long payload may wait for the peer's windows while more than `budgets.stalledPayload` waits; 0 for ever. */
  readonly stallTimeout: number;
  /** How long a frame may take to come whole; for a server also how long the first one may be waited for. */
  readonly frameTimeout: number;
  /** How long the carrier may take to accept what it was given last, at most 256 KiB and a frame. */
  readonly outputTimeout: number;
  readonly budgets: Budgets;
}

/** What a session may be configured with. */
export interface SessionConfig extends SessionLimits {
  /** ALG_IDs to announce as a bit set; 0 announces nothing (plain SPDY/3.1, unless the peer is known to speak keymux). */
  readonly algorithms: number;
  /** Client: how many tunnels this session is inside of (spec 5.4); 0 to 255. */
  readonly depth: number;
  /** Which windows the peer knows. */
  readonly peerFlowControl: PeerFlowControl;
  /** Which requests may be taken as early data, which can be a replay (spec 3.7); by default GET and HEAD. See `acceptMethods`. */
  readonly acceptEarly: (headers: HeaderList) => boolean;
  readonly padding: Padding;
}

/**
 * Which windows the peer knows (spec 2.5): those of SPDY/3.1; those of streams only (SPDY/3); or none, as some implementations. A peer
 * without windows can be held back only by not reading from its carrier, which holds back all its streams: this is done while more than
 * `sessionWindow` bytes, but 4 MiB at most, are not consumed. For peers that one knows, as it gives them more room than others.
 */
export type PeerFlowControl = 'full' | 'streams' | 'none';

/** How envelopes are padded (spec 4.1). */
export type Padding = 'none' | 'fixed' | 'padme';

/** Methods that change nothing when they come twice. */
export const SAFE_METHODS: readonly string[] = ['GET', 'HEAD'];

/** For `acceptEarly`: requests with these methods. */
export function acceptMethods(methods: Iterable<string>): SessionConfig['acceptEarly'] {
  const accepted = new Set(methods);
  return (headers) => accepted.has(headers.find(([name]) => name === ':method')?.[1] ?? '');
}

export const DEFAULT_CONFIG: SessionConfig = {
  streamWindow: 256 * 1024,
  sessionWindow: 128 * 1024 * 1024,
  maxConcurrentStreams: 1024,
  switchLimit: 1024 * 1024,
  algorithms: 0,
  depth: 0,
  keepAlive: 30_000,
  keepAliveTimeout: 15_000,
  drainTimeout: 30_000,
  frameTimeout: 30_000,
  outputTimeout: 60_000,
  stallTimeout: 60_000,
  acceptEarly: acceptMethods(SAFE_METHODS),
  peerFlowControl: 'full',
  padding: 'none',
  budgets: DEFAULT_BUDGETS,
};

/** In the order of the numbers by which they are saved (spec 13.6). */
export const PEER_FLOW_CONTROL: readonly PeerFlowControl[] = ['full', 'streams', 'none'];

export const SESSION_RANGES: Ranges<Omit<SessionLimits, 'budgets'>> = {
  streamWindow: [65_536, 0x7fff_ffff],
  sessionWindow: [65_536, 0x7fff_ffff],
  maxConcurrentStreams: [1, 0x7fff_ffff],
  switchLimit: [65_536, 0xffff_ffff],
  keepAlive: [0, LONGEST],
  keepAliveTimeout: [1, LONGEST],
  drainTimeout: [0, LONGEST],
  stallTimeout: [0, LONGEST],
  frameTimeout: [1, LONGEST],
  outputTimeout: [1, LONGEST],
};

/** Fills in defaults and checks ranges; throws UsageError `ERR_KEYMUX_CONFIG` naming the field. */
export function sessionConfig(options: Partial<SessionConfig> = {}): SessionConfig {
  const config = { ...DEFAULT_CONFIG, ...options };
  checkRanges(config, { ...SESSION_RANGES, algorithms: [0, 0xff_ffff], depth: [0, 255] });
  if (!PEER_FLOW_CONTROL.includes(config.peerFlowControl)) {
    throw new UsageError(
      'ERR_KEYMUX_CONFIG',
      `peerFlowControl is ${String(config.peerFlowControl)}; it must be full, streams or none`,
    );
  }
  return config;
}
