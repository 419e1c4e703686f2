import type { ListenOptions } from 'node:net';

/** The first descriptor that systemd passes; sd_listen_fds(3). */
const FIRST = 3;
/** More are not taken for true. */
const MOST = 1_024;

/** What `systemd` or `systemd:NAME` means: a socket that systemd has opened and passed on (socket activation). */
export type PassedSocket = ListenOptions & { readonly fd: number };

/**
 * The descriptor that `text` stands for: `systemd` is the only one that was passed, `systemd:NAME` the one with that `FileDescriptorName=`. Undefined
 * if it stands for none; a string says why there is no such one.
 */
export function passedSocket(
  text: string,
  { LISTEN_FDS, LISTEN_PID, LISTEN_FDNAMES = '' }: NodeJS.ProcessEnv = process.env,
): PassedSocket | string | undefined {
  const [, name] = /^systemd(?::(.+))?$/.exec(text) ?? [];
  if (!/^systemd(:|$)/.test(text)) return undefined;
  const count = /^[0-9]{1,4}$/.test(LISTEN_FDS ?? '') ? Number(LISTEN_FDS) : 0;
  if (count === 0 || count > MOST)
    return 'systemd has passed no socket: start the .socket unit, and let it start this one';
  if (Number(LISTEN_PID) !== process.pid)
    return `systemd has passed sockets to another process (LISTEN_PID is ${LISTEN_PID}): start this program itself from the unit, without a shell or npx between them`;
  if (text === 'systemd') {
    if (count === 1) return { fd: FIRST };
    return `systemd has passed ${count} sockets: write systemd:NAME, the FileDescriptorName= of one of them`;
  }
  const names = LISTEN_FDNAMES.split(':').slice(0, count);
  const fitting = names.flatMap((given, index) => (given === name ? [FIRST + index] : []));
  const [fd, ...more] = fitting;
  if (fd !== undefined && more.length === 0) return { fd };
  return fd === undefined
    ? `systemd has passed no socket of this name; there are: ${names.join(', ')}`
    : `systemd has passed ${fitting.length} sockets of this name: give each one of its own by FileDescriptorName=`;
}
