import { type ClientOptions, Cookies, HostMemory, HostPolicy } from '@keymux/client';
import type { Level } from '@keymux/session';
import { z } from 'zod';
import { assignments } from '../config.ts';
import { configPath } from '../identities.ts';

/** The options that decide what is required of hosts, and what is remembered of them. */
export const SAFEGUARD_OPTIONS = {
  require: assignments,
  hostMemory: z.string().optional(),
  cookieJar: z.string().optional(),
};

export type Safeguards = Pick<ClientOptions, 'policy' | 'memory' | 'cookies'>;

/** Stands for no memory at all. */
const NONE = 'none';
/** Stands for all hosts that nothing else is said about. */
const ALL = '*';

/** Rejects with PolicyError, or with KeyError or StateFileError if a file may not be used. */
export async function openSafeguards(
  options: z.output<z.ZodObject<typeof SAFEGUARD_OPTIONS>>,
): Promise<Safeguards> {
  const { require: levels, hostMemory = configPath('hosts.json'), cookieJar } = options;
  // What is no level is refused by the policy.
  const { [ALL]: common, ...hosts } = Object.fromEntries(levels) as Record<string, Level>;
  return {
    policy: new HostPolicy({ hosts, ...(common && { default: common }) }),
    memory: hostMemory === NONE ? undefined : await HostMemory.open(hostMemory),
    cookies: cookieJar === undefined ? undefined : await Cookies.open(cookieJar),
  };
}
