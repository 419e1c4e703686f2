import {
  checkRanges,
  DEFAULT_FRONT_CONFIG,
  FRONT_RANGES,
  type FrontConfig,
  type Ranges,
  SESSION_RANGES,
} from '@keymux/session';
import {
  CARRIER_RANGES,
  type CarrierLimits,
  DEFAULT_CARRIER_LIMITS,
  DEFAULT_SERVER_LIMITS,
  SERVER_RANGES,
  type ServerLimits,
} from '@keymux/streams';

/** What a proxy bears from its clients beside that (spec 7.2, 7.3). */
export interface TunnelLimits {
  /** Lookups and attempts to connect at a time, for all clients and for one; the system looks few names up at once, whoever asks. */
  readonly dials: number;
  readonly dialsPerClient: number;
  /** Connections to destinations at a time, for all clients and for one. Fewer where the system lets the process open few files. */
  readonly tunnels: number;
  readonly tunnelsPerClient: number;
  /** Time for looking up and connecting to a destination, in milliseconds. */
  readonly connectTimeout: number;
}

/** All limits of a proxy, by name. */
export interface ProxyLimits extends ServerLimits, TunnelLimits {}

/** All limits of a front, by name. */
export interface FrontLimits extends CarrierLimits, FrontConfig {}

const DEFAULT_TUNNEL_LIMITS: TunnelLimits = {
  dials: 1_024,
  dialsPerClient: 256,
  tunnels: 10_000,
  tunnelsPerClient: 1_024,
  connectTimeout: 10_000,
};

const TUNNEL_RANGES: Ranges<TunnelLimits> = {
  dials: [1, 1_000_000],
  dialsPerClient: [1, 1_000_000],
  tunnels: [1, 1_000_000],
  tunnelsPerClient: [1, 1_000_000],
  connectTimeout: SESSION_RANGES.frameTimeout,
};

export const DEFAULT_PROXY_LIMITS: ProxyLimits = { ...DEFAULT_SERVER_LIMITS, ...DEFAULT_TUNNEL_LIMITS };
export const PROXY_RANGES: Ranges<Omit<ProxyLimits, 'budgets'>> = { ...SERVER_RANGES, ...TUNNEL_RANGES };

export const DEFAULT_FRONT_LIMITS: FrontLimits = { ...DEFAULT_CARRIER_LIMITS, ...DEFAULT_FRONT_CONFIG };
export const FRONT_LIMIT_RANGES: Ranges<Omit<FrontLimits, 'budgets'>> = {
  ...CARRIER_RANGES,
  ...FRONT_RANGES,
};

/** Fills in defaults and checks ranges; throws UsageError `ERR_KEYMUX_CONFIG` naming the field. */
export function tunnelLimits(options: Partial<TunnelLimits> = {}): TunnelLimits {
  const limits = { ...DEFAULT_TUNNEL_LIMITS, ...options };
  checkRanges(limits, TUNNEL_RANGES);
  return limits;
}
