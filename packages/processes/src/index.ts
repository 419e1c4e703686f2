export { Admin } from './admin.ts';
export { ProcessError } from './errors.ts';
export { bindListener, type Listener } from './listener.ts';
export type { ProcessReport } from './member.ts';
export { type Port, parentChannel, parentPort, portPair } from './port.ts';
export { type KeeperService, type Prepared, runKeeper, runWorker, type WorkerService } from './roles.ts';
export { type Permissions, type Running, type SpawnOptions, spawnRole } from './spawn.ts';
export { describe, type Exit } from './supervised.ts';
export type { Role, TeamOptions } from './team.ts';
