export type { RequestLimits } from './account.ts';
export type { AuditEntry } from './audit.ts';
export { ProtocolError } from './errors.ts';
export { KeeperServer, type KeeperServerOptions } from './keeper-server.ts';
export type { PipeKeys } from './pipe-keys.ts';
export { RemoteKeeper, type RemoteKeeperOptions } from './remote-keeper.ts';
export { connectUnix, removeLeftBehind } from './unix-socket.ts';
