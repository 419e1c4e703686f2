import { readFile } from 'node:fs/promises';
import {
  ALGORITHM,
  ALGORITHM_NAMES,
  type AlgorithmName,
  algorithmId,
  algorithmName,
  SHARED_KEY_PREFERENCE,
} from '@keymux/keys';
import { z } from 'zod';

/** The configuration, or the command line, cannot be used. */
export class ConfigError extends Error {
  override readonly name = 'ConfigError';
  readonly code = 'ERR_KEYMUX_CONFIG';
}

/** `host:port`, `[IPv6]:port`, `:port`, `port` or `unix:/path`, as net.Server's `listen` wants it. */
export const listenAddress = z.union([z.string(), z.number()]).transform((value, context) => {
  const text = String(value);
  if (text.startsWith('unix:')) return { path: text.slice(5) };
  const match = /^(?:(\[[0-9a-f:.]+\]|[a-z0-9._-]+)?:)?([0-9]{1,5})$/i.exec(text);
  const port = Number(match?.[2]);
  if (match === null || port > 65_535) {
    context.addIssue({ code: 'custom', message: 'write host:port (port 0 takes a free one), or unix:/path' });
    return z.NEVER;
  }
  return { host: (match[1] ?? '127.0.0.1').replace(/^\[|\]$/g, ''), port };
});

/** One value or several. */
export const list = z
  .union([z.string(), z.array(z.string())])
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
  for (const text of values) {
    const at = text.indexOf('=');
    if (at < 1) context.addIssue({ code: 'custom', message: `"${text}": write NAME=VALUE` });
    map.set(text.slice(0, at).toLowerCase(), text.slice(at + 1));
  }
  return map;
});

/**
 * Checks options against a schema; those of the command line win over the environment, and that over the file which `--config`
 * names. Throws ConfigError that names the field, the value, and what it should be.
 */
export async function readConfig<T extends z.ZodObject>(
  schema: T,
  argv: Readonly<Record<string, unknown>>,
): Promise<z.output<T>> {
  const names = Object.keys(schema.shape);
  const path = argv.config ?? process.env.KEYMUX_CONFIG;
  const file = typeof path === 'string' ? await readFileOptions(path, names) : {};
  const given = names.map((name) => [name, argv[name] ?? process.env[variable(name)] ?? file[name]] as const);
  const merged = Object.fromEntries(given.filter(([, value]) => value !== undefined));
  const parsed = schema.safeParse(merged);
  if (parsed.success) return parsed.data;
  const problems = parsed.error.issues.map(({ path, message }) => {
    const [name = ''] = path;
    const value = merged[String(name)];
    return `${optionName(String(name))}${value === undefined ? '' : ` is ${show(value)}`}: ${message}`;
  });
  throw new ConfigError(problems.join('\n'));
}

/** NaN stands for text where a number should be. */
function show(value: unknown): string {
  return Number.isNaN(value) ? 'not a number' : JSON.stringify(value);
}

/** The environment variable of an option: `connectTimeout` is KEYMUX_CONNECT_TIMEOUT. */
function variable(name: string): string {
  return `KEYMUX_${optionName(name).toUpperCase().replaceAll('-', '_')}`;
}

/** An option as on the command line: `connectTimeout` is connect-timeout. */
function optionName(name: string): string {
  return name.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`);
}

/** The options in a file, whose names are those of the command line. */
async function readFileOptions(path: string, names: readonly string[]): Promise<Record<string, unknown>> {
  const options = await readJson(path);
  const known = new Map(names.flatMap((name) => [[optionName(name), name] as const, [name, name] as const]));
  return Object.fromEntries(
    Object.entries(options).map(([written, value]) => {
      const name = known.get(written);
      if (name !== undefined) return [name, value];
      const all = names.map(optionName).join(', ');
      throw new ConfigError(`config file "${path}": there is no option "${written}"; there are: ${all}`);
    }),
  );
}

async function readJson(path: string): Promise<Record<string, unknown>> {
  const text = await readFile(path, 'utf8').catch((error: Error) => {
    throw new ConfigError(`config file "${path}" cannot be read`, { cause: error });
  });
  try {
    const value: unknown = JSON.parse(text);
    if (typeof value === 'object' && value !== null && !Array.isArray(value))
      return value as Record<string, unknown>;
  } catch (error) {
    throw new ConfigError(`config file "${path}" is not JSON`, { cause: error });
  }
  throw new ConfigError(`config file "${path}" must hold one JSON object`);
}
