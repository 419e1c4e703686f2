import type { HeaderList } from '@keymux/frames';
import type { Level } from '@keymux/session';
import { headerValue, type Protection } from '@keymux/streams';
import { z } from 'zod';
import type { Requirement } from './host-policy.ts';
import { StateFile } from './state-file.ts';

/** The header by which a host demands sealing (spec 9.8). */
export const DEMAND_HEADER = 'keymux-level';

/** What a host demands of later requests. */
interface Demand {
  readonly level: Level;
  /** Seconds; 0 takes the demand back. */
  readonly maxAge: number;
  readonly includeSubdomains: boolean;
}

const entrySchema = z.strictObject({
  host: z.string().min(1).max(253),
  level: z.enum(['passive', 'authenticated']),
  includeSubdomains: z.boolean(),
  /** Milliseconds since 1970. */
  expires: z.int().positive(),
});
const memorySchema = z.strictObject({ version: z.literal(1), hosts: z.array(entrySchema) });

type Entry = z.output<typeof entrySchema>;
type Memory = z.output<typeof memorySchema>;

const EMPTY: Memory = { version: 1, hosts: [] };
/** Seconds; ten years. */
const LONGEST = 315_360_000;
/** Milliseconds by which a demand must last longer for it to be worth writing; of short ones a part, or they would run out between. */
const RENEWAL = { most: 3_600_000, part: 0.05 };

export interface HostMemoryOptions {
  /** Milliseconds since 1970; `Date.now` by default. */
  readonly clock?: () => number;
}

/**
 * Remembers hosts that have demanded sealing, so that they are never asked with less again: not in a later session, and not if somebody swallows what asks
 * for a key (spec 9.8). Only an answer that the host itself is proven to have sent plants a demand, renews it or takes it back.
 */
export class HostMemory {
  readonly #file: StateFile<Memory> | undefined;
  readonly #clock: () => number;
  #hosts = new Map<string, Entry>();

  private constructor(file: StateFile<Memory> | undefined, clock: () => number, memory: Memory) {
    this.#file = file;
    this.#clock = clock;
    this.#load(memory);
  }

  /** One that is forgotten with this process. */
  static inMemory({ clock = Date.now }: HostMemoryOptions = {}): HostMemory {
    return new HostMemory(undefined, clock, EMPTY);
  }

  /** Rejects with KeyError ERR_KEYMUX_TRUST_FILE or StateFileError if the file may not be used; one that does not exist is made when needed. */
  static async open(path: string, { clock = Date.now }: HostMemoryOptions = {}): Promise<HostMemory> {
    const what = 'host memory';
    const file = new StateFile(path, { what, forbidden: 0o022, schema: memorySchema, empty: EMPTY });
    return new HostMemory(file, clock, await file.read());
  }

  /** What the host, or one above it, has demanded; the highest counts. */
  requirement(hostname: string): Requirement | undefined {
    const entries = [...this.#matching(hostname)];
    const entry = entries.find(({ level }) => level === 'authenticated') ?? entries[0];
    if (entry === undefined) return undefined;
    const where = this.#file === undefined ? '' : `, remembered in ${this.#file.path}`;
    const until = new Date(entry.expires).toISOString().slice(0, 10);
    return { level: entry.level, because: `${entry.host} itself, until ${until}${where}` };
  }

  /**
   * Takes note of what an answer demands, if its head was protected so that nobody but the host can have said it. Resolves when it is on the disk.
   * Rejects as `open` does, and if the file cannot be written.
   */
  async learn(hostname: string, headers: HeaderList, head: Protection): Promise<void> {
    const proven =
      head.level === 'authenticated' && head.reach === 'end-to-end' && head.key?.authority === hostname;
    const demand = proven ? parseDemand(headerValue(headers, DEMAND_HEADER)) : undefined;
    if (demand === undefined || !this.#isNews(hostname, demand)) return;
    const change = (memory: Memory): Memory => this.#changed(memory, hostname, demand);
    this.#load(this.#file === undefined ? change(this.#memory()) : await this.#file.update(change));
  }

  #isNews(host: string, { level, maxAge, includeSubdomains }: Demand): boolean {
    const known = this.#hosts.get(host);
    if (known === undefined || maxAge === 0) return known !== undefined || maxAge > 0;
    const same = known.level === level && known.includeSubdomains === includeSubdomains;
    const lifetime = maxAge * 1000;
    const now = this.#clock();
    const worthwhile = Math.min(RENEWAL.most, lifetime * RENEWAL.part);
    return !same || known.expires <= now || Math.abs(now + lifetime - known.expires) > worthwhile;
  }

  #changed({ hosts }: Memory, host: string, { level, maxAge, includeSubdomains }: Demand): Memory {
    const now = this.#clock();
    const others = hosts.filter((entry) => entry.host !== host && entry.expires > now);
    if (maxAge === 0 || level === 'none') return { version: 1, hosts: others };
    return {
      version: 1,
      hosts: [...others, { host, level, includeSubdomains, expires: now + maxAge * 1000 }],
    };
  }

  *#matching(hostname: string): Generator<Entry> {
    for (let name = hostname; name !== ''; name = parentOf(name)) {
      const entry = this.#hosts.get(name);
      if (entry === undefined || entry.expires <= this.#clock()) continue;
      if (name === hostname || entry.includeSubdomains) yield entry;
    }
  }

  #memory(): Memory {
    return { version: 1, hosts: [...this.#hosts.values()] };
  }

  #load({ hosts }: Memory): void {
    this.#hosts = new Map(hosts.map((entry) => [entry.host, entry]));
  }
}

/** Undefined if it says nothing that can be followed. A level of a later version is more than this one knows, so it counts as the highest. */
function parseDemand(value: string | undefined): Demand | undefined {
  const [level, ...directives] = (value ?? '').split(';').map((part) => part.trim().toLowerCase());
  if (level === undefined || !/^[a-z-]{1,32}$/.test(level) || level === 'none') return undefined;
  const age = directives.map((part) => /^max-age=([0-9]{1,10})$/.exec(part)?.[1]).find(Boolean);
  if (age === undefined) return undefined;
  return {
    level: level === 'passive' ? 'passive' : 'authenticated',
    maxAge: Math.min(Number(age), LONGEST),
    includeSubdomains: directives.includes('include-subdomains'),
  };
}

function parentOf(name: string): string {
  const dot = name.indexOf('.');
  return dot < 0 ? '' : name.slice(dot + 1);
}
