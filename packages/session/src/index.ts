export { type Budget, type Budgets, DEFAULT_BUDGETS } from './budgets.ts';
export type { OpenOptions, ReplyOptions } from './commands.ts';
export {
  acceptMethods,
  DEFAULT_CONFIG,
  type Padding,
  SAFE_METHODS,
  type SessionConfig,
  sessionConfig,
} from './config.ts';
export { KeyGoneError, type Origin, SessionError, UsageError } from './errors.ts';
export type { SessionEvent } from './events.ts';
export { DEFAULT_FRONT_CONFIG, type FrontConfig, type FrontSessionOptions } from './front-config.ts';
export { FrontLink, type HostPort } from './front-link.ts';
export { type FrontEvent, FrontSession } from './front-session.ts';
export type { KeyEvent, KeyInfo, KeyPort, Level, ReceiveKey, RunningHash, SendKey } from './key-port.ts';
export { Session } from './session.ts';
export type { SessionOptions } from './session-options.ts';
export type { Role } from './state.ts';
