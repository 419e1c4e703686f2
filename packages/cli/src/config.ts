import { readFile } from 'node:fs/promises';
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

export const algorithm = z.enum(['psk', 'spiped']).default('spiped');

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
 * Checks options against a schema; those of the command line win over those of the file which `--config` names. Throws
 * ConfigError that names the field, the value, and what it should be.
 */
export async function readConfig<T extends z.ZodType>(
  schema: T,
  argv: Readonly<Record<string, unknown>>,
): Promise<z.output<T>> {
  const file = typeof argv.config === 'string' ? await readJson(argv.config) : {};
  const given = Object.fromEntries(Object.entries(argv).filter(([, value]) => value !== undefined));
  const merged: Record<string, unknown> = { ...file, ...given };
  const parsed = schema.safeParse(merged);
  if (parsed.success) return parsed.data;
  const problems = parsed.error.issues.map((issue) => {
    const field = issue.path.join('.') || ('keys' in issue ? String(issue.keys) : 'configuration');
    const value = issue.path.length > 0 ? ` is ${JSON.stringify(merged[String(issue.path[0])])}` : '';
    return `${field}${value}: ${issue.message}`;
  });
  throw new ConfigError(problems.join('\n'));
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
