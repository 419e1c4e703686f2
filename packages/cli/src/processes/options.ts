import { availableParallelism } from 'node:os';
import { z } from 'zod';
import { flag } from '../config.ts';
import { ConfigError } from '../errors.ts';

const WORKERS = 'write a whole number from 1 to 256';

/** The options of commands that have processes. */
export const PROCESS_OPTIONS = {
  singleProcess: flag,
  workers: z.coerce.number(WORKERS).int(WORKERS).min(1, WORKERS).max(256, WORKERS).optional(),
  user: z.string().min(1).optional(),
};

export type ProcessOptions = z.output<z.ZodObject<typeof PROCESS_OPTIONS>>;

/** How many workers there are to be; 0 for a single process that does everything. Throws ConfigError. */
export function workersOf({ singleProcess, workers, user }: ProcessOptions): number {
  if (!singleProcess && process.platform !== 'win32') return workers ?? availableParallelism();
  const given = workers !== undefined ? '--workers' : user !== undefined ? '--user' : undefined;
  if (given !== undefined)
    throw new ConfigError(
      `${given} is for a server of several processes, and goes not with --single-process`,
    );
  return 0;
}
