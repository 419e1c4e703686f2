import { spawn } from 'node:child_process';
import { Channel } from '@keymux/hand-over';
import { childPort, type Port } from './port.ts';
import type { Exit } from './supervised.ts';

/** A process that was started, or could not be: then `exited` says so. */
export interface Running {
  /** 0 if there is none. */
  readonly pid: number;
  readonly port: Port;
  /** For hand-overs; a keeper has no sessions, and a puppet none either. */
  readonly channel?: Channel | undefined;
  /** Whether Node's permissions bound what it may do. */
  readonly restricted: boolean;
  /** Never rejects. */
  readonly exited: Promise<Exit>;
  /** At once. */
  kill(): void;
}

/** What a process may have of the system, beside its sockets. */
export interface Permissions {
  /** Files and directories, absolute; `DIRECTORY/*` for what may yet come there, `*` for all. */
  readonly read: readonly string[];
  readonly write: readonly string[];
  readonly threads: boolean;
}

export interface SpawnOptions {
  /** The script, and its arguments. */
  readonly script: string;
  readonly args: readonly string[];
  /** Undefined leaves it as unbounded as this process. */
  readonly permissions: Permissions | undefined;
  readonly env: NodeJS.ProcessEnv;
  /** Whether it can have its memory collected when it likes (`Collector`). */
  readonly collects: boolean;
  /** Whether it may read standard input, to ask for a passphrase. */
  readonly stdin: boolean;
  /** Another user, if this process is root's. All groups but this one are dropped. */
  readonly user?: { readonly uid: number; readonly gid: number } | undefined;
}

/**
 * Starts a process with as little as it needs: no debugger, no core dumps, and none of the options and variables that this process was
 * started with. It writes where this process writes.
 */
export function spawnRole(options: SpawnOptions): Running {
  const { script, args, permissions, env, collects, stdin, user } = options;
  const bounds = permissions && permissionFlags(permissions);
  const flags = [
    ...(bounds ?? []),
    ...(has('--disable-sigusr1') ? ['--disable-sigusr1'] : []),
    ...(collects ? ['--expose-gc'] : []),
  ];
  const child = spawn('/bin/sh', ['-c', PRELUDE, process.execPath, ...flags, script, ...args], {
    stdio: [stdin ? 'inherit' : 'ignore', 'inherit', 'inherit', 'ipc'],
    serialization: 'advanced',
    env,
    ...user,
  });
  child.on('error', () => undefined); // `exited` tells
  const exited = new Promise<Exit>((resolve) => {
    child.once('error', ({ message }) => {
      if (child.pid === undefined) resolve({ code: null, signal: null, problem: message });
    });
    child.once('exit', (code, signal) => resolve({ code, signal }));
  });
  const kill = (): void => void child.kill('SIGKILL');
  return {
    pid: child.pid ?? 0,
    port: childPort(child),
    channel: new Channel(child),
    restricted: bounds !== undefined,
    exited,
    kill,
  };
}

/**
 * What Node cannot do for itself, before the shell makes way for it: no core dumps, and on Linux the end of this process is the end of the other one, even if that one
 * no longer hears of anything.
 */
const PRELUDE = `ulimit -c 0
setpriv --pdeathsig KILL true 2>/dev/null && exec setpriv --pdeathsig KILL "$0" "$@"
exec "$0" "$@"`;

/** As Node's options; undefined if this Node has no permissions, or cannot tell such paths. */
function permissionFlags({ read, write, threads }: Permissions): string[] | undefined {
  const permission = ['--permission', '--experimental-permission'].find(has);
  if (
    permission === undefined ||
    [...read, ...write].some((path) => /[,*]/.test(path.replace(/(^|\/)\*$/, '')))
  )
    return undefined;
  return [
    permission,
    ...read.map((path) => `--allow-fs-read=${path}`),
    ...write.map((path) => `--allow-fs-write=${path}`),
    ...(threads ? ['--allow-worker'] : []),
    ...(has('--allow-net') ? ['--allow-net'] : []),
    // Experimental where Node is old, and it warns of what is granted.
    ...['--disable-warning=ExperimentalWarning', '--disable-warning=SecurityWarning'],
  ];
}

function has(flag: string): boolean {
  return process.allowedNodeEnvironmentFlags.has(flag);
}
