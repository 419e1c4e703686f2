export { type Destination, parseDestination } from './authority.ts';
export { DialError, type DialOptions, dial } from './dialer.ts';
export { Front, type FrontOptions } from './front.ts';
export { createHttpFront, type OpenTunnel } from './http-front.ts';
export {
  DEFAULT_FRONT_LIMITS,
  DEFAULT_PROXY_LIMITS,
  FRONT_LIMIT_RANGES,
  type FrontLimits,
  PROXY_RANGES,
  type ProxyLimits,
} from './limits.ts';
export { DestinationPolicy, RuleError } from './policy.ts';
export { ConnectProxy, type ConnectReport, type ProxyOptions } from './proxy.ts';
export { joinStreams } from './tunnel.ts';
