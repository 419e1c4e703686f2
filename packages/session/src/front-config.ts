import { DEFAULT_CONFIG, SESSION_RANGES, type SessionLimits } from './config.ts';
import type { FrontLink, HostPort } from './front-link.ts';
import type { RunningHash } from './key-port.ts';
import { checkRanges, type Ranges } from './ranges.ts';

/**
 * The bounds of what a client can cause in its session with a front (spec 7.2, 7.3). Times are milliseconds, sizes bytes. Stream window and
 * number of streams are what clients are told; hosts keep to it.
 */
export interface FrontConfig
  extends Pick<
    SessionLimits,
    | 'streamWindow'
    | 'maxConcurrentStreams'
    | 'keepAlive'
    | 'keepAliveTimeout'
    | 'drainTimeout'
    | 'frameTimeout'
    | 'outputTimeout'
    | 'budgets'
  > {
  /** Largest session window of a key. A front holds at most twice as much for a host that does not read. */
  readonly keyWindow: number;
  /** How long a host may take to answer the first message of a run. Shorter than a run may take: then the client would end the session. */
  readonly hostTimeout: number;
}

const { streamWindow, maxConcurrentStreams, keepAlive, keepAliveTimeout, budgets } = DEFAULT_CONFIG;
const { drainTimeout, frameTimeout, outputTimeout } = DEFAULT_CONFIG;

export const DEFAULT_FRONT_CONFIG: FrontConfig = {
  ...{ streamWindow, maxConcurrentStreams, keepAlive, keepAliveTimeout, budgets },
  ...{ drainTimeout, frameTimeout, outputTimeout },
  keyWindow: 4 * 1024 * 1024,
  hostTimeout: 8_000,
};

export const FRONT_RANGES: Ranges<Omit<FrontConfig, 'budgets'>> = {
  streamWindow: SESSION_RANGES.streamWindow,
  maxConcurrentStreams: SESSION_RANGES.maxConcurrentStreams,
  keepAlive: SESSION_RANGES.keepAlive,
  keepAliveTimeout: SESSION_RANGES.keepAliveTimeout,
  drainTimeout: SESSION_RANGES.drainTimeout,
  frameTimeout: SESSION_RANGES.frameTimeout,
  outputTimeout: SESSION_RANGES.outputTimeout,
  keyWindow: SESSION_RANGES.sessionWindow,
  hostTimeout: SESSION_RANGES.frameTimeout,
};

/** Fills in defaults and checks ranges; throws UsageError `ERR_KEYMUX_CONFIG` naming the field. */
export function frontConfig(options: Partial<FrontConfig> = {}): FrontConfig {
  const config = { ...DEFAULT_FRONT_CONFIG, ...options };
  checkRanges(config, FRONT_RANGES);
  return config;
}

export interface FrontSessionOptions {
  readonly config?: Partial<FrontConfig>;
  /** ALG_IDs to announce for the hosts, as a bit set. */
  readonly algorithms: number;
  readonly createHash: () => RunningHash;
  /** Where the client connects from; empty and 0 if that is no network address. */
  readonly client: { readonly address: string; readonly port: number };
  /** Opens a link to the process that serves a host; undefined if none does. */
  readonly connect: (authority: string, link: FrontLink) => HostPort | undefined;
  /** Now, in milliseconds of any monotonic clock. */
  readonly now: number;
}
