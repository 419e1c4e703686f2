import type { Requirement } from '@keymux/client';
import { satisfies } from '@keymux/streams';
import type { Safeguards } from '../route/safeguards.ts';
import type { Chosen } from '../settings.ts';
import type { SourceStatement } from './schema.ts';
import { stateSource } from './sources.ts';

const NOTHING: Requirement = { level: 'none', because: '' };

/** What is required of hosts, and by which option or file; the highest level counts (spec 9.7, 9.8). */
export function requirementBy(
  { policy, memory }: Safeguards,
  options: {
    readonly require: Chosen<unknown>;
    readonly hostMemory: Chosen<unknown>;
    readonly credentials: Chosen<string | undefined>;
  },
): (hostname: string) => Requirement & { readonly source: SourceStatement } {
  const { require, hostMemory, credentials } = options;
  const secret: Requirement =
    credentials.value === undefined
      ? NOTHING
      : { level: 'authenticated', because: `the file of credentials ${credentials.value}` };
  return (hostname) => {
    const all = [
      [policy?.requirement(hostname) ?? NOTHING, require],
      [memory?.requirement(hostname) ?? NOTHING, hostMemory],
      [secret, credentials],
    ] as const;
    const [requirement, { source }] = all.reduce((highest, other) =>
      satisfies(highest[0].level, other[0].level) ? highest : other,
    );
    return { ...requirement, source: stateSource(source, `${requirement.level}: ${requirement.because}`) };
  };
}
