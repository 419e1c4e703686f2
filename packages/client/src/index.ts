export { type Address, AddressError, connectCarrier, DEFAULT_PORT, nameOf, parseAddress } from './address.ts';
export {
  Client,
  type ClientOptions,
  type KeyRequest,
  type RequestOptions,
  type Response,
  type TunnelOptions,
} from './client.ts';
export { HostKeyError, LevelError, RefusedError } from './errors.ts';
export { type BackoffOptions, Reconnector } from './reconnect.ts';
