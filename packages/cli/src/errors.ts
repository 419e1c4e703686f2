import { dirname } from 'node:path';

/** The configuration, or the command line, cannot be used. */
export class ConfigError extends Error {
  override readonly name = 'ConfigError';
  readonly code = 'ERR_KEYMUX_CONFIG';
}

/** Why a file that the user named cannot be read, or written: the system's reason in words, else what the error says. */
export function fileFault(path: string, wanted: 'read' | 'written', error: unknown): string {
  const { code, message } = error as NodeJS.ErrnoException;
  const cannot = `"${path}" cannot be ${wanted}`;
  switch (code) {
    case 'ENOENT':
      return wanted === 'read'
        ? `there is no file "${path}"`
        : `${cannot}: there is no directory "${dirname(path)}"; make it first`;
    case 'ENOTDIR':
      return `${cannot}: a part of the path is a file, not a directory`;
    case 'EISDIR':
      return `${cannot}: it is a directory; name a file`;
    case 'EACCES':
    case 'EPERM':
      return `${cannot}: you may not; see its permissions, and those of its directory`;
    case 'EROFS':
    case 'ENOSPC':
      return `${cannot}: ${code === 'EROFS' ? 'the file system is read-only' : 'the disk is full'}`;
    default:
      return code === undefined || !('syscall' in (error as object)) ? message : `${cannot}: ${message}`;
  }
}
