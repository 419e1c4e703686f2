import { constants } from 'node:fs';
import { type FileHandle, open } from 'node:fs/promises';
import { secretBytes } from './bytes.ts';
import { openMode } from './credentials.ts';
import { randomBytes } from './crypto.ts';
import { KeyError } from './errors.ts';
import { KEY_FILE_MAX, KEY_FILE_MIN, PreSharedKey } from './pre-shared-key.ts';

export interface KeyFile {
  readonly key: PreSharedKey;
  /** What the user should know although the key works. */
  readonly warnings: readonly string[];
}

/**
 * Reads a key file: any regular file of 32 bytes to 1 MiB (spec 3.5). Throws KeyError ERR_KEYMUX_KEY_FILE. A file that others can
 * read still works, as in spiped, with a warning.
 */
export async function readKeyFile(path: string): Promise<KeyFile> {
  return withFile(path, constants.O_RDONLY, 0, async (file) => {
    const { size, mode } = await checkedStat(path, file);
    const content = secretBytes(size);
    try {
      const { bytesRead } = await file.read(content, 0, size, 0);
      if (bytesRead !== size) throw fileError(path, 'changed while it was read; try again');
      return { key: new PreSharedKey(content), warnings: modeWarnings(path, mode) };
    } finally {
      content.fill(0);
    }
  });
}

/**
 * Writes 32 random bytes to a new file that only its owner can read, and waits until they are on the disk. Throws KeyError
 * ERR_KEYMUX_KEY_FILE; a file that exists is never touched, since its old content may be the only copy of a key.
 */
export async function createKeyFile(path: string): Promise<KeyFile> {
  const flags = constants.O_WRONLY | constants.O_CREAT | constants.O_EXCL;
  return withFile(path, flags, 0o600, async (file) => {
    const content = randomBytes(KEY_FILE_MIN);
    try {
      await file.write(content);
      await file.sync();
      return { key: new PreSharedKey(content), warnings: [] };
    } finally {
      content.fill(0);
    }
  });
}

async function checkedStat(path: string, file: FileHandle): Promise<{ size: number; mode: number }> {
  const stat = await file.stat();
  if (!stat.isFile()) throw fileError(path, 'is not a regular file');
  if (stat.size < KEY_FILE_MIN) {
    throw fileError(
      path,
      `has ${stat.size} bytes; a key needs at least ${KEY_FILE_MIN}. "keymux keygen" makes one`,
    );
  }
  if (stat.size > KEY_FILE_MAX) {
    throw fileError(path, `has ${stat.size} bytes; a key has at most ${KEY_FILE_MAX}. Is it the right file?`);
  }
  return stat;
}

function modeWarnings(path: string, mode: number): string[] {
  if (process.platform === 'win32' || (openMode(path, mode) & 0o077) === 0) return [];
  const octal = (mode & 0o777).toString(8).padStart(3, '0');
  return [`${path} has mode ${octal}: others can read or change this key. Run: chmod 600 ${path}`];
}

async function withFile<T>(
  path: string,
  flags: number,
  mode: number,
  action: (file: FileHandle) => Promise<T>,
): Promise<T> {
  let file: FileHandle | undefined;
  try {
    // Without O_NONBLOCK, opening a FIFO would wait for a writer for ever.
    file = await open(path, flags | (constants.O_NONBLOCK ?? 0), mode);
    return await action(file);
  } catch (error) {
    throw error instanceof KeyError ? error : fileError(path, describe(error, flags), error);
  } finally {
    await file?.close();
  }
}

function describe(error: unknown, flags: number): string {
  const { code } = error as NodeJS.ErrnoException;
  if (code === 'EEXIST') return 'exists already; a key file is never overwritten. Choose another name';
  if (code === 'ENOENT') return 'does not exist. "keymux keygen" makes a key file';
  if (code === 'EACCES' && (flags & constants.O_CREAT) !== 0)
    return 'cannot be made there: this user may not write to its directory';
  if (code === 'EACCES') return 'is not readable for this user';
  return `cannot be used (${code ?? 'unknown error'})`;
}

function fileError(path: string, problem: string, cause?: unknown): KeyError {
  return new KeyError('ERR_KEYMUX_KEY_FILE', `key file ${path} ${problem}`, { cause });
}
