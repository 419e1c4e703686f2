import { DEFAULT_NEGOTIATION_LIMITS, type NegotiationLimits } from '@keymux/keys';
import {
  checkRanges,
  DEFAULT_CONFIG,
  type Ranges,
  SESSION_RANGES,
  type SessionLimits,
} from '@keymux/session';
import { DEFAULT_WINDOW_LIMITS, type WindowLimits } from './window-pool.ts';

/** What a server bears from those who connect to it (spec 7.2, 7.3). */
export interface CarrierLimits {
  /** Connections at a time, with all clients; further ones are closed at once. Fewer where the system lets the process open few files. */
  readonly connections: number;
  /** Connections of one client at a time (spec 7.4). */
  readonly connectionsPerClient: number;
  /** How long a connection may take to send its first byte, or its whole HTTP request, in milliseconds. */
  readonly greetingTimeout: number;
}

/** All limits of a server that speaks sessions, by name. */
export interface ServerLimits extends CarrierLimits, SessionLimits, NegotiationLimits, WindowLimits {}

export const DEFAULT_CARRIER_LIMITS: CarrierLimits = {
  connections: 10_000,
  connectionsPerClient: 1_000,
  greetingTimeout: 10_000,
};

const { streamWindow, sessionWindow, maxConcurrentStreams, switchLimit, budgets } = DEFAULT_CONFIG;
const { keepAlive, keepAliveTimeout, drainTimeout, stallTimeout, frameTimeout, outputTimeout } =
  DEFAULT_CONFIG;

export const DEFAULT_SERVER_LIMITS: ServerLimits = {
  ...DEFAULT_CARRIER_LIMITS,
  ...DEFAULT_NEGOTIATION_LIMITS,
  ...DEFAULT_WINDOW_LIMITS,
  ...{ streamWindow, sessionWindow, maxConcurrentStreams, switchLimit, budgets },
  ...{ keepAlive, keepAliveTimeout, drainTimeout, stallTimeout, frameTimeout, outputTimeout },
};

export const CARRIER_RANGES: Ranges<CarrierLimits> = {
  connections: [1, 1_000_000],
  connectionsPerClient: [1, 1_000_000],
  greetingTimeout: SESSION_RANGES.frameTimeout,
};

const NEGOTIATION_RANGES: Ranges<NegotiationLimits> = {
  runs: [1, 1_000_000],
  runsPerClient: [1, 1_000_000],
  keyWork: [1, 1_000_000],
  keyWorkPerClient: [1, 1_000_000],
};

const WINDOW_RANGES: Ranges<WindowLimits> = {
  windowGrowth: [0, Number.MAX_SAFE_INTEGER],
  windowGrowthPerClient: [0, Number.MAX_SAFE_INTEGER],
};

export const SERVER_RANGES: Ranges<Omit<ServerLimits, 'budgets'>> = {
  ...CARRIER_RANGES,
  ...SESSION_RANGES,
  ...NEGOTIATION_RANGES,
  ...WINDOW_RANGES,
};

/** Fills in defaults and checks ranges; throws UsageError `ERR_KEYMUX_CONFIG` naming the field. */
export function negotiationLimits(options: Partial<NegotiationLimits> = {}): NegotiationLimits {
  const limits = { ...DEFAULT_NEGOTIATION_LIMITS, ...options };
  checkRanges(limits, NEGOTIATION_RANGES);
  return limits;
}

/** Fills in defaults and checks ranges; throws UsageError `ERR_KEYMUX_CONFIG` naming the field. */
export function windowLimits(options: Partial<WindowLimits> = {}): WindowLimits {
  const limits = { ...DEFAULT_WINDOW_LIMITS, ...options };
  checkRanges(limits, WINDOW_RANGES);
  return limits;
}

/** Fills in defaults and checks ranges; throws UsageError `ERR_KEYMUX_CONFIG` naming the field. */
export function carrierLimits(options: Partial<CarrierLimits> = {}): CarrierLimits {
  const limits = { ...DEFAULT_CARRIER_LIMITS, ...options };
  checkRanges(limits, CARRIER_RANGES);
  return limits;
}
