import { constants } from 'node:fs';
import { type FileHandle, open } from 'node:fs/promises';
import { secretBytes } from '../bytes.ts';
import { openMode } from '../credentials.ts';
import { KeyError, type KeyErrorCode } from '../errors.ts';

export interface OwnedFileRules {
  /** What the file is, for messages: `identity file`. */
  readonly what: string;
  readonly code: KeyErrorCode;
  /** Bytes. */
  readonly most: number;
  /** Mode bits that the file must not have. */
  readonly forbidden: number;
}

/**
 * Reads a file whose content decides who is trusted. Refuses what others can change (or read, if the rules say so), what is too large, and what
 * is no regular file. Throws KeyError.
 */
export function readOwnedFile(path: string, rules: OwnedFileRules): Promise<Buffer> {
  return withOwnedFile(path, rules, constants.O_RDONLY, async (file, size) => {
    const content = secretBytes(size);
    const { bytesRead } = await file.read(content, 0, size, 0);
    if (bytesRead !== size) throw ownedFileError(path, rules, 'changed while it was read; try again');
    return content;
  });
}

/** Opens such a file and does something with it. */
export async function withOwnedFile<T>(
  path: string,
  rules: OwnedFileRules,
  flags: number,
  action: (file: FileHandle, size: number) => Promise<T>,
): Promise<T> {
  let file: FileHandle | undefined;
  try {
    // Without O_NONBLOCK, opening a FIFO would wait for a writer for ever.
    file = await open(path, flags | (constants.O_NONBLOCK ?? 0), 0o600);
    const { size, mode, uid, isFile } = await statOf(file);
    if (!isFile) throw ownedFileError(path, rules, 'is not a regular file');
    if (size > rules.most)
      throw ownedFileError(path, rules, `has ${size} bytes; at most ${rules.most} are read`);
    if (process.platform !== 'win32') checkOwner(path, rules, mode, uid);
    return await action(file, size);
  } catch (error) {
    throw error instanceof KeyError ? error : ownedFileError(path, rules, describe(error), error);
  } finally {
    await file?.close();
  }
}

export function ownedFileError(
  path: string,
  rules: OwnedFileRules,
  problem: string,
  cause?: unknown,
): KeyError {
  return new KeyError(rules.code, `${rules.what} ${path} ${problem}`, { cause });
}

async function statOf(file: FileHandle) {
  const stat = await file.stat();
  return { size: stat.size, mode: stat.mode, uid: stat.uid, isFile: stat.isFile() };
}

function checkOwner(path: string, rules: OwnedFileRules, mode: number, uid: number): void {
  const own = process.getuid?.() ?? uid;
  if (uid !== own && uid !== 0) {
    throw ownedFileError(
      path,
      rules,
      `belongs to user ${uid}, who could change it; it must be yours or root's`,
    );
  }
  if ((openMode(path, mode) & rules.forbidden) === 0) return;
  const octal = (mode & 0o777).toString(8).padStart(3, '0');
  const what = (rules.forbidden & 0o044) === 0 ? 'change' : 'read or change';
  const right = (rules.forbidden & 0o044) === 0 ? 'go-w' : '600';
  throw ownedFileError(path, rules, `has mode ${octal}: others can ${what} it. Run: chmod ${right} ${path}`);
}

function describe(error: unknown): string {
  const { code } = error as NodeJS.ErrnoException;
  if (code === 'ENOENT') return 'does not exist';
  if (code === 'EACCES') return 'is not readable for this user';
  return `cannot be used (${code ?? 'unknown error'})`;
}
