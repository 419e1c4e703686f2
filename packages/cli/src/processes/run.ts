import { execFile } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { realpath } from 'node:fs/promises';
import { resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import type { KeptKey } from '@keymux/keys';
import {
  Admin,
  bindListener,
  type Permissions,
  ProcessError,
  type ProcessReport,
  type Running,
  spawnRole,
} from '@keymux/processes';
import { ConfigError } from '../errors.ts';
import { keyLogFiles } from '../key-log-files.ts';
import type { Output } from '../output.ts';
import { sayUnchanged } from '../reload.ts';
import { serveUntilSignal } from '../serve.ts';
import { type Files, readServerConfig, type ServerCommand, type ServerConfig } from '../server-command.ts';
import { refuseKeys } from '../server-keeper.ts';
import { programFiles } from './program-files.ts';

const SCRIPT = fileURLToPath(new URL('../../bin/keymux-process.js', import.meta.url));
/** What processes get of the environment. The keeper needs more, to find an ssh-agent, and to ask for passphrases. */
const ENVIRONMENT = ['LANG', 'LC_ALL', 'NO_COLOR', 'PATH', 'TERM', 'TZ'];
const KEEPERS_ENVIRONMENT = [
  'CREDENTIALS_DIRECTORY',
  'DISPLAY',
  'HOME',
  'SSH_ASKPASS',
  'SSH_ASKPASS_REQUIRE',
  'SSH_AUTH_SOCK',
  'WAYLAND_DISPLAY',
];

/** Runs a server as admin, keeper and workers until it is told to end. This process is the admin. */
export async function runProcesses(
  command: ServerCommand,
  argv: Record<string, unknown>,
  workers: number,
  output: Output,
): Promise<void> {
  const drawn = command.drawn?.();
  let { config, given } = await readServerConfig(command, argv);
  const user = await userOf(config.user, output);
  closeDumps(output);
  const permissions = await permissionsOf(command.files(config));
  const listener = await bindListener(config.listen);
  const stop = new AbortController();
  const judge = (config: ServerConfig) => (kept: readonly KeptKey[]) => {
    keyLogFiles(config.keylog, output);
    command.check(config, kept, output);
  };
  const spawn = (role: 'keeper' | 'worker'): Running => {
    const isKeeper = role === 'keeper';
    return spawnRole({
      script: SCRIPT,
      args: [role, command.name, output.json ? 'json' : 'text'],
      permissions: isKeeper ? KEEPERS_PERMISSIONS : permissions,
      env: environment(isKeeper ? [...ENVIRONMENT, ...KEEPERS_ENVIRONMENT] : ENVIRONMENT),
      stdin: isKeeper,
      user: isKeeper ? undefined : user,
    });
  };
  const report = (report: ProcessReport): void => output.log({ ...report }, textOf(report));
  try {
    const settings = settingsOf(drawn, given);
    const admin = await Admin.start({
      ...{ workers, settings, notForKeeper: command.notForKeeper ?? [] },
      ...{ listener, spawn, check: judge(config), report },
    });
    void admin.failed.then((error) => stop.abort(error));
    const reload = async (): Promise<void> => {
      const next = await readServerConfig(command, argv);
      refuseKeys(next.config);
      refuseOtherFiles(permissions, await permissionsOf(command.files(next.config)));
      const fixed = Object.fromEntries(FIXED.map((name) => [name, given[name]]));
      await admin.reload(settingsOf(drawn, { ...next.given, ...fixed }), judge(next.config));
      sayUnchanged(FIXED, config, next.config, output);
      given = { ...next.given, ...fixed };
      config = { ...next.config, ...Object.fromEntries(FIXED.map((name) => [name, config[name]])) };
    };
    const close = (): Promise<void> => {
      listener.close(); // else who comes now would wait in it for somebody to accept
      return admin.drain();
    };
    await serveUntilSignal(command.name, { reload, close }, admin.address, output, stop);
  } finally {
    listener.close();
  }
  if (stop.signal.reason instanceof ProcessError) throw stop.signal.reason;
}

/** What all processes are told. Where to listen is the admin's: a socket of systemd has been passed to it alone. */
function settingsOf(drawn: object | undefined, { listen: _, ...given }: Readonly<Record<string, unknown>>) {
  return { ...drawn, ...given };
}

/** What cannot change while it runs. */
const FIXED = ['listen', 'keeper', 'workers', 'user', 'singleProcess'] as const;

/** The keeper reads whatever its user may, and computes in threads; a passphrase may have to come from a program. */
const KEEPERS_PERMISSIONS: Permissions | undefined =
  process.env.SSH_ASKPASS === undefined ? { read: ['*'], write: [], threads: true } : undefined;

/** A worker reads the program, and what it serves. */
async function permissionsOf({ read, write }: Files): Promise<Permissions> {
  return {
    read: [...(await programFiles(SCRIPT)), ...(await withTargets(read))],
    write: write.map((path) => resolve(path)),
    threads: false,
  };
}

/** Processes that run get no further permissions. Throws ConfigError. */
function refuseOtherFiles(now: Permissions, next: Permissions): void {
  const other = [...next.read, ...next.write].find((path) => ![...now.read, ...now.write].includes(path));
  if (other !== undefined)
    throw new ConfigError(
      `the processes that run have no access to ${other}: start the program anew for that`,
    );
}

function environment(names: readonly string[]): NodeJS.ProcessEnv {
  return Object.fromEntries(
    names.flatMap((name) => (process.env[name] === undefined ? [] : [[name, process.env[name]]])),
  );
}

/** Names of links, and what they lead to. */
async function withTargets(paths: readonly string[]): Promise<string[]> {
  const targets = await Promise.all(paths.map((path) => realpath(path).catch(() => path)));
  return [...new Set([...paths, ...targets].map((path) => resolve(path)))];
}

/** Has core dumps of this process, and of those that it starts, hold no memory: core(5). */
function closeDumps(output: Output): void {
  if (process.platform !== 'linux') return;
  try {
    writeFileSync('/proc/self/coredump_filter', '0');
  } catch (error) {
    output.warn(`core dumps, if there are any, hold the keys of sessions: ${(error as Error).message}`);
  }
}

/** Whom the processes of strangers' traffic are to be, if this one is root's. */
async function userOf(
  name: string | undefined,
  output: Output,
): Promise<{ readonly uid: number; readonly gid: number } | undefined> {
  if (process.getuid?.() !== 0) {
    if (name === undefined) return undefined;
    throw new ConfigError('--user needs root, who alone can start processes of other users');
  }
  if (name === undefined) {
    output.warn('all processes are run as root: give --user NAME to those that strangers talk to');
    return undefined;
  }
  const idOf = async (option: string): Promise<number> =>
    Number((await promisify(execFile)('id', [option, '--', name])).stdout);
  try {
    return { uid: await idOf('-u'), gid: await idOf('-g') };
  } catch (cause) {
    throw new ConfigError(`--user ${name}: there is no such user`, { cause });
  }
}

function textOf(report: ProcessReport): string | undefined {
  if (report.event === 'process-start') return undefined;
  const { process, pid, code, signal, reason, wait } = report;
  const how = signal === null ? `ended with status ${code}` : `was ended by ${signal}`;
  const lost = process === 'keeper' ? 'sessions go on, and no keys are negotiated' : 'its sessions are lost';
  return `the process "${process}" (${pid}) ${how}${reason ? ` (${reason})` : ''}: ${lost}; another one is started in ${wait} ms`;
}
