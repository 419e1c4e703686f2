export { CarrierServer, type CarrierServerOptions, type ListenTarget } from './carrier-server.ts';
export type { ConnectionOrigin, CountedBy } from './connection-origin.ts';
export { halfOfDescriptors } from './descriptors.ts';
export { NegotiationRejectedError, PeerGoneError, StreamResetError, UpgradeError } from './errors.ts';
export { FrontCarrier, type FrontCarrierOptions } from './front-carrier.ts';
export { connectUpgrade } from './http-upgrade.ts';
export { lend } from './lending-socket.ts';
export {
  CARRIER_RANGES,
  type CarrierLimits,
  DEFAULT_CARRIER_LIMITS,
  DEFAULT_SERVER_LIMITS,
  SERVER_RANGES,
  type ServerLimits,
} from './limits.ts';
export {
  decodeRequest,
  decodeResponse,
  encodeRequest,
  encodeResponse,
  headerValue,
  hostnameOf,
  isHopByHop,
  MessageError,
  type RequestHead,
  type ResponseHead,
} from './messages.ts';
export { type Movable, MovableSession, type Moved } from './movable.ts';
export { type CloseOptions, MuxSession, type OpenStreamOptions } from './mux-session.ts';
export type { MuxSessionOptions } from './mux-session-options.ts';
export { MuxStream } from './mux-stream.ts';
export { Quota } from './quota.ts';
export type { RenegotiationLimits } from './renegotiation-policy.ts';
export type { NegotiateOptions } from './session-keys.ts';
export { SessionServer, type SessionServerOptions } from './session-server.ts';
export { handleOf, type SocketHandle, socketOf } from './socket-handle.ts';
export {
  isAsStrongAs,
  type PeerIdentity,
  type Protection,
  protection,
  type Reach,
  type StreamSecurity,
  satisfies,
  stronger,
  weaker,
} from './stream-security.ts';
export { connectSocket, type SocketAddress } from './tcp.ts';
export { connectWebSocket, SUBPROTOCOL } from './websocket.ts';
export { type ClosableShare, type WindowLimits, WindowPool } from './window-pool.ts';
export { Written } from './written.ts';
