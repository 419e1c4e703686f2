import {
  ALGORITHM,
  ALGORITHM_NAMES,
  type AlgorithmName,
  algorithmId,
  algorithmName,
  SHARED_KEY_PREFERENCE,
} from '@keymux/keys';
import { z } from 'zod';
import { ConfigFile } from './config-file.ts';
import { ConfigError } from './errors.ts';
import { passedSocket } from './service/passed-sockets.ts';
import { environmentVariable, optionName, Settings, type Source } from './settings.ts';

/** `host:port`, `[IPv6]:port`, `:port`, `port` or `unix:/path`. */
export const socketAddress = z.union([z.string(), z.number()]).transform((value, context) => {
  const text = String(value);
  if (text.startsWith('unix:')) return { path: text.slice(5) };
  const match = /^(?:(\[[0-9a-f:.]+\]|[a-z0-9._-]+)?:)?([0-9]{1,5})$/i.exec(text);
  const port = Number(match?.[2]);
  if (match === null || port > 65_535) {
    context.addIssue({
      code: 'custom',
      message: 'write host:port or a port (0 takes a free one), or unix:/path',
    });
    return z.NEVER;
  }
  return { host: (match[1] ?? '127.0.0.1').replace(/^\[|\]$/g, ''), port };
});

/** The same, or `systemd` or `systemd:NAME` for a socket that systemd has passed; as net.Server's `listen` wants it. */
export const listenAddress = z.union([z.string(), z.number()]).transform((value, context) => {
  const passed = passedSocket(String(value));
  if (typeof passed === 'object') return passed;
  const parsed = passed === undefined ? socketAddress.safeParse(value) : undefined;
  if (parsed?.success) return parsed.data;
  const message = passed ?? 'write host:port or a port (0 takes a free one), unix:/path, or systemd';
  context.addIssue({ code: 'custom', message });
  return z.NEVER;
});

/** One value or several. */
export const list = z
  .union([z.string(), z.array(z.string())])
  .default([])
  .transform((value) => (Array.isArray(value) ? value : [value]));

/** Whole numbers, one or several. */
export const numbers = z
  .union([z.coerce.number().int().min(0), z.array(z.coerce.number().int().min(0))], {
    error: 'write a whole number; repeat the option for several',
  })
  .default([])
  .transform((value) => (Array.isArray(value) ? value : [value]));

/** Yes or no; from the environment it comes as text. */
export const flag = z
  .union(
    [z.boolean(), z.enum(['true', '1', 'false', '0']).transform((text) => text === 'true' || text === '1')],
    { error: 'write true or false' },
  )
  .default(false);

/** What --algorithm takes: `signed` comes with --identity, and then there is nothing else to choose. */
export const CHOOSABLE = ALGORITHM_NAMES.filter((name) => algorithmId(name) !== ALGORITHM.SIGNED);

/** Names of algorithms with commas between them, best first, as ALG_IDs; by default those for shared keys. */
export const algorithms = list.transform((values, context): readonly number[] => {
  const names = values.flatMap((value) => value.split(','));
  if (names.length === 0) return SHARED_KEY_PREFERENCE;
  const unknown = names.find((name) => !CHOOSABLE.includes(name as AlgorithmName));
  const message =
    unknown === algorithmName(ALGORITHM.SIGNED)
      ? 'to negotiate with identities give --identity FILE instead'
      : unknown !== undefined
        ? `write ${CHOOSABLE.join(', ')}, or several with commas, best first`
        : names.includes('anonymous') && names.length > 1
          ? 'an anonymous key never takes the place of one that proves the peer: write anonymous alone'
          : undefined;
  if (message !== undefined) {
    context.addIssue({ code: 'custom', message });
    return z.NEVER;
  }
  return names.map((name) => algorithmId(name as AlgorithmName));
});

/** Whether keys are to prove nobody, so that no key file is needed. */
export function isAnonymous(ids: readonly number[]): boolean {
  return ids.includes(ALGORITHM.ANONYMOUS);
}

/** `NAME=VALUE` pairs. */
export const assignments = list.transform((values, context) => {
  const map = new Map<string, string>();
  for (const [index, text] of values.entries()) {
    const at = text.indexOf('=');
    if (at < 1) context.addIssue({ code: 'custom', path: [index], message: 'write NAME=VALUE' });
    map.set(text.slice(0, at).toLowerCase(), text.slice(at + 1));
  }
  return map;
});

/** The values of `readSettings`, for commands that need not say where they come from. */
export async function readConfig<T extends z.ZodObject>(
  schema: T,
  argv: Readonly<Record<string, unknown>>,
): Promise<z.output<T>> {
  return (await readSettings(schema, argv)).values;
}

/**
 * Checks options against a schema; those of the command line win over the environment, and that over the file which `--config`
 * names. Throws ConfigError that names the field, the value, and what it should be.
 */
export async function readSettings<T extends z.ZodObject>(
  schema: T,
  argv: Readonly<Record<string, unknown>>,
): Promise<Settings<z.output<T>>> {
  const names = Object.keys(schema.shape);
  const path = argv.config ?? process.env.KEYMUX_CONFIG;
  const file = typeof path === 'string' ? await ConfigFile.read(path, names) : undefined;
  const merged: Record<string, unknown> = {};
  const sources = new Map<string, Source>();
  for (const name of names) {
    const variable = environmentVariable(name);
    const given: readonly (readonly [unknown, Source['from']])[] = [
      [argv[name], { kind: 'command line' }],
      [process.env[variable], { kind: 'environment', variable }],
      [file?.value(name), { kind: 'file', at: (index) => (file as ConfigFile).locate(name, index) }],
    ];
    const [value, from] = given.find(([value]) => value !== undefined) ?? [];
    if (from === undefined) continue;
    merged[name] = value;
    sources.set(name, { option: optionName(name), from });
  }
  const parsed = schema.safeParse(merged);
  if (parsed.success) return new Settings(parsed.data, merged, sources);
  const problems = parsed.error.issues.map(({ path, message }) => {
    const [name, index] = [String(path[0]), path[1]];
    const given = merged[name];
    const value = Array.isArray(given) && typeof index === 'number' ? given[index] : given;
    const where = placeOf(sources.get(name));
    // Lists take it, and what else there is has a message of its own.
    if (Array.isArray(given) && given.length > 1 && message.startsWith('Invalid input'))
      return `${optionName(name)}${where} is there ${given.length} times; give it once`;
    return `${optionName(name)}${value === undefined ? '' : `${where} is ${show(value)}`}: ${message}`;
  });
  throw new ConfigError(problems.join('\n'));
}

/** Where a value stands that is not on the command line, which the user has before his eyes. */
function placeOf(source: Source | undefined): string {
  switch (source?.from.kind) {
    case 'environment':
      return ` (${source.from.variable})`;
    case 'file': {
      const { path, line } = source.from.at();
      return ` (${path}:${line})`;
    }
    default:
      return '';
  }
}

/** NaN stands for text where a number should be. */
function show(value: unknown): string {
  if (Array.isArray(value) && value.length === 1) return show(value[0]);
  return Number.isNaN(value) ? 'not a number' : JSON.stringify(value);
}
