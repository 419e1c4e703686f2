import { dirname, resolve } from 'node:path';

/** Read by its group. */
const GROUP_READ = 0o040;

/**
 * The mode of a file, as far as it lets others at it. systemd lets a service read its credentials (`LoadCredential=`) by an access list, whose mask then stands where
 * the rights of a group would: 0440, although no group may read them, and nobody else gets into their directory.
 */
export function openMode(path: string, mode: number): number {
  const { CREDENTIALS_DIRECTORY } = process.env;
  const isCredential =
    CREDENTIALS_DIRECTORY !== undefined && dirname(resolve(path)) === resolve(CREDENTIALS_DIRECTORY);
  return isCredential ? mode & ~GROUP_READ : mode;
}
