export { Admin, type AdminOptions, type ProcessReport } from './admin.ts';
export { ProcessError } from './errors.ts';
export { bindListener, type Listener } from './listener.ts';
export { type Port, parentPort, portPair } from './port.ts';
export { type KeeperService, type Prepared, runKeeper, runWorker, type WorkerService } from './roles.ts';
export { type Permissions, type Running, type SpawnOptions, spawnRole } from './spawn.ts';
export type { Exit } from './supervised.ts';
