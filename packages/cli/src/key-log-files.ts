import { appendFileSync, closeSync, openSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { formatKeyLogEntry, type KeyLog, type KeyLogEntry, parseKeyLog, SIGNED_LABEL } from '@keymux/keys';
import { ConfigError, fileFault } from './errors.ts';
import type { Output } from './output.ts';

/**
 * Writes what opens the envelopes of single keys into files, as `NAME=FILE`: NAME is the host that a key is for, its label, or the fingerprint
 * of the SSH key that the peer has proven. A proxy is named by its address, as `proxy` has it. Undefined if nobody asks for any. Throws ConfigError.
 */
export function keyLogFiles(wanted: readonly string[], output: Output, proxy?: string): KeyLog | undefined {
  if (wanted.length === 0) return undefined;
  const files = new Map<string, string>();
  for (const entry of wanted) {
    const [, name, file] = /^([^=]+)=(.+)$/.exec(entry) ?? [];
    if (name === undefined || file === undefined)
      throw new ConfigError(
        `--keylog ${entry}: write NAME=FILE, the host or the label of one key, and where to write`,
      );
    if (name === SIGNED_LABEL)
      throw new ConfigError(
        `--keylog ${entry}: all SSH keys have this label; name the host, or one of them by its fingerprint SHA256:...`,
      );
    checkWritable(entry, file);
    files.set(name.startsWith('SHA256:') ? name : name.toLowerCase(), file);
    output.warn(`who has ${file} can read everything that travels under the key of ${name}`);
  }
  const proxyName = proxy?.toLowerCase() ?? '';
  return ({ authority, label, identity }, entry) => {
    const names = [authority || proxyName, label, identity?.fingerprint ?? ''];
    const file = names.map((name) => files.get(name)).find((found) => found !== undefined);
    if (file === undefined) return;
    // At once: what travels under the key may be the last thing that this process does.
    appendFileSync(file, `${formatKeyLogEntry(entry())}\n`, { mode: 0o600 });
  };
}

/** The files that `keyLogFiles` writes. */
export function keyLogPaths(wanted: readonly string[]): string[] {
  return wanted.map((entry) => entry.slice(entry.indexOf('=') + 1));
}

/** Before anything is negotiated: a key cannot be asked for a second time what opens it. */
function checkWritable(entry: string, file: string): void {
  try {
    closeSync(openSync(file, 'a', 0o600));
  } catch (error) {
    throw new ConfigError(`--keylog ${entry}: ${fileFault(file, 'written', error)}`);
  }
}

/** The keys in a file that `keyLogFiles` has written; none without a file. Throws ConfigError. */
export async function readKeyLog(file: string | undefined): Promise<readonly KeyLogEntry[]> {
  if (file === undefined) return [];
  try {
    return parseKeyLog(await readFile(file, 'utf8'));
  } catch (error) {
    throw new ConfigError(`--keylog ${file}: ${fileFault(file, 'read', error)}`);
  }
}
