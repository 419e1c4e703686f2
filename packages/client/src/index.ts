export { type Address, AddressError, connectCarrier, DEFAULT_PORT, nameOf, parseAddress } from './address.ts';
export {
  Client,
  type ClientOptions,
  type InnerSessionOptions,
  type KeyRequest,
  type RequestOptions,
  type Response,
  type TunnelOptions,
} from './client.ts';
export { type CookiePlace, Cookies } from './cookies.ts';
export { HostKeyError, LevelError, type LevelShortfall, RefusedError } from './errors.ts';
export { HostMemory, type HostMemoryOptions } from './host-memory.ts';
export { HostPolicy, type HostPolicyOptions, PolicyError, type Requirement } from './host-policy.ts';
export { type BackoffOptions, Reconnector } from './reconnect.ts';
export { StateFileError } from './state-file.ts';
