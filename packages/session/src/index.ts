export { type Budget, type Budgets, DEFAULT_BUDGETS } from './budgets.ts';
export type { OpenOptions, ReplyOptions } from './commands.ts';
export {
  acceptMethods,
  DEFAULT_CONFIG,
  type Padding,
  SAFE_METHODS,
  SESSION_RANGES,
  type SessionConfig,
  type SessionLimits,
  sessionConfig,
} from './config.ts';
export type { Origin } from './error-table.ts';
export { KeyGoneError, keyGone, SessionError, UsageError, withoutStack } from './errors.ts';
export type { SessionEvent } from './events.ts';
export {
  DEFAULT_FRONT_CONFIG,
  FRONT_RANGES,
  type FrontConfig,
  type FrontSessionOptions,
  frontConfig,
} from './front-config.ts';
export { FrontLink, type HostPort } from './front-link.ts';
export { type FrontEvent, FrontSession } from './front-session.ts';
export { type FreezeOptions, handOverId, type ThawOptions } from './hand-over.ts';
export type { KeyEvent, KeyInfo, KeyPort, Level, ReceiveKey, RunningHash, SendKey } from './key-port.ts';
export { checkRanges, type Ranges } from './ranges.ts';
export type { ResumeHash } from './saved-hash.ts';
export { Session } from './session.ts';
export type { SessionOptions } from './session-options.ts';
export type { Role } from './state.ts';
export type { WindowShare } from './window-growth.ts';
