import { type Budgets, DEFAULT_BUDGETS } from './budgets.ts';
import type { FrontLink, HostPort } from './front-link.ts';
import type { RunningHash } from './key-port.ts';

/** What a front may be configured with. Times are milliseconds, sizes bytes. */
export interface FrontConfig {
  /** What clients are told that they may send on a stream; hosts keep to it. 65,536 to 2^31 - 1. */
  readonly streamWindow: number;
  /** Streams that a client may have open at a time, with all hosts together. */
  readonly maxConcurrentStreams: number;
  /** Largest session window of a key. A front holds at most twice as much for a host that does not read. */
  readonly keyWindow: number;
  readonly keepAlive: number;
  readonly keepAliveTimeout: number;
  /** How long after GOAWAY clients may take to end. */
  readonly drainTimeout: number;
  /** How long a host may take to answer the first message of a run. Shorter than a run may take: then the client would end the session. */
  readonly hostTimeout: number;
  readonly budgets: Budgets;
}

export const DEFAULT_FRONT_CONFIG: FrontConfig = {
  streamWindow: 256 * 1024,
  maxConcurrentStreams: 1024,
  keyWindow: 4 * 1024 * 1024,
  keepAlive: 30_000,
  keepAliveTimeout: 15_000,
  drainTimeout: 30_000,
  hostTimeout: 8_000,
  budgets: DEFAULT_BUDGETS,
};

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
