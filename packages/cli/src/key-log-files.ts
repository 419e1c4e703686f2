import { appendFileSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { formatKeyLogEntry, type KeyLog, type KeyLogEntry, parseKeyLog } from '@keymux/keys';
import { ConfigError } from './errors.ts';
import type { Output } from './output.ts';

/**
 * Writes what opens the envelopes of single keys into files, as `NAME=FILE`: NAME is the host that a key is for, or its label. Undefined
 * if nobody asks for any. Throws ConfigError.
 */
export function keyLogFiles(wanted: readonly string[], output: Output): KeyLog | undefined {
  if (wanted.length === 0) return undefined;
  const files = new Map<string, string>();
  for (const entry of wanted) {
    const [, name, file] = /^([^=]+)=(.+)$/.exec(entry) ?? [];
    if (name === undefined || file === undefined)
      throw new ConfigError(
        `--keylog ${entry}: write NAME=FILE, the host or the label of one key, and where to write`,
      );
    files.set(name.toLowerCase(), file);
    output.warn(`who has ${file} can read everything that travels under the key of ${name}`);
  }
  return ({ authority, label }, entry) => {
    const file = files.get(authority) ?? files.get(label);
    if (file === undefined) return;
    // At once: what travels under the key may be the last thing that this process does.
    appendFileSync(file, `${formatKeyLogEntry(entry())}\n`, { mode: 0o600 });
  };
}

/** The keys in a file that `keyLogFiles` has written; none without a file. Throws ConfigError. */
export async function readKeyLog(file: string | undefined): Promise<readonly KeyLogEntry[]> {
  if (file === undefined) return [];
  try {
    return parseKeyLog(await readFile(file, 'utf8'));
  } catch (error) {
    throw new ConfigError(`--keylog ${file}: ${(error as Error).message}`, { cause: error });
  }
}
