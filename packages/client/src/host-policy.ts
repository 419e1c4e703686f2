import type { Level } from '@keymux/session';

/** What a request to a host must have at least, and who says so. */
export interface Requirement {
  readonly level: Level;
  /** Whose words it is, for messages: `the policy for ".example.org"`. */
  readonly because: string;
}

export interface HostPolicyOptions {
  /** For hosts that nothing else is said about; `none` by default. */
  readonly default?: Level;
  /** Least level by host: `alpha.example`, or `.example` for all hosts below `example`. Names in any case, without a port. */
  readonly hosts?: Readonly<Record<string, Level>>;
}

/** A policy that cannot be understood. */
export class PolicyError extends Error {
  override readonly name = 'PolicyError';
  readonly code = 'ERR_KEYMUX_POLICY';
}

/**
 * The least level for each host (spec 9.7). It is this side's own rule: nothing that a peer sends lowers it. The entry that names the host counts, else
 * the longest suffix, else the default.
 */
export class HostPolicy {
  readonly #default: Level;
  readonly #hosts: ReadonlyMap<string, Level>;

  /** Throws PolicyError. */
  constructor(options: HostPolicyOptions = {}) {
    this.#default = options.default ?? 'none';
    this.#hosts = new Map(
      Object.entries(options.hosts ?? {}).map(([name, level]) => [checkedName(name.toLowerCase()), level]),
    );
    for (const [name, level] of [['the default', this.#default], ...this.#hosts] as const) {
      if (!LEVELS.includes(level))
        throw new PolicyError(`${name}: "${level}" is no level; there are ${LEVELS.join(', ')}`);
    }
  }

  requirement(hostname: string): Requirement {
    for (const name of namesOf(hostname)) {
      const level = this.#hosts.get(name);
      if (level !== undefined) return { level, because: `the policy for "${name}"` };
    }
    return { level: this.#default, because: 'the policy for all hosts' };
  }
}

const LEVELS: readonly Level[] = ['none', 'passive', 'authenticated'];

/** What entries may call a host, the most exact first: `a.b.c`, `.b.c`, `.c`. */
function* namesOf(hostname: string): Generator<string> {
  yield hostname;
  for (let at = hostname.indexOf('.'); at >= 0; at = hostname.indexOf('.', at + 1)) yield hostname.slice(at);
}

function checkedName(name: string): string {
  if (/^\.?[a-z0-9_[](?:[a-z0-9._:\]-]{0,251}[a-z0-9\]])?$/.test(name)) return name;
  throw new PolicyError(`"${name}" is no host: write alpha.example, or .example for all below it`);
}
