import { execFile } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { realpath } from 'node:fs/promises';
import { resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import {
  Admin,
  bindListener,
  describe,
  type Listener,
  type Permissions,
  ProcessError,
  type ProcessReport,
  type Role,
  type Running,
  spawnRole,
  type TeamOptions,
} from '@keymux/processes';
import { ConfigError } from '../errors.ts';
import { keyLogFiles } from '../key-log-files.ts';
import { type Output, reasonsOf } from '../output.ts';
import { sayUnchanged } from '../reload.ts';
import { serveUntilSignal } from '../serve.ts';
import { type Files, readServerConfig, type ServerCommand } from '../server-command.ts';
import { refuseKeys } from '../server-keeper.ts';
import { workersOf } from './options.ts';
import { programFiles } from './program-files.ts';

const SCRIPT = fileURLToPath(new URL('../../bin/keymux-process.js', import.meta.url));
/** What processes get of the environment. The keeper needs more, to find an ssh-agent, and to ask for passphrases. */
const ENVIRONMENT = ['LANG', 'LC_ALL', 'NO_COLOR', 'PATH', 'TERM', 'TZ'];
const KEEPERS_ENVIRONMENT = [
  'XDG_CONFIG_HOME',
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
  output: Output,
): Promise<void> {
  const first = await readServerConfig(command, argv);
  const user = await userOf(first.config.user, output);
  closeDumps(output);
  const listener = await bindListener(first.config.listen);
  const stop = new AbortController();
  const server = new ServerProcesses({ command, argv, output, user, listener });
  const upgrade = (): void => server.upgrade();
  process.on('SIGUSR2', upgrade);
  try {
    const admin = server.start(first);
    const listening = admin.then(({ address, failed }) => {
      void failed.then((error) => stop.abort(error));
      return address;
    });
    const close = async (): Promise<void> => {
      listener.close(); // else who comes now would wait in it for somebody to accept
      await server.drain();
    };
    await serveUntilSignal(command.name, { reload: () => server.reload(), close }, listening, output, stop);
  } finally {
    process.off('SIGUSR2', upgrade);
    listener.close();
  }
  if (stop.signal.reason instanceof ProcessError) throw stop.signal.reason;
}

interface ServerOptions {
  readonly command: ServerCommand;
  readonly argv: Record<string, unknown>;
  readonly output: Output;
  readonly user: { readonly uid: number; readonly gid: number } | undefined;
  readonly listener: Listener;
}

type Read = Awaited<ReturnType<typeof readServerConfig>>;

/** What cannot change while processes run; and what cannot change with those of an upgrade either. */
const FIXED = [
  'listen',
  'keeper',
  'keeperKey',
  'keeperIdentity',
  'knownHosts',
  'workers',
  'user',
  'singleProcess',
] as const;
const ADMINS = ['listen', 'user', 'singleProcess'] as const;

/** The processes of a server, by the configuration as it was read last. */
class ServerProcesses {
  readonly #options: ServerOptions;
  /** Options that are drawn stay the same for all that are ever started. */
  readonly #drawn: Readonly<Record<string, unknown>>;
  #read: Read | undefined;
  #permissions: Permissions | undefined;
  #admin: Admin | undefined;
  #last: Promise<unknown> = Promise.resolve();
  /** One that has not begun. */
  #upgradeWanted = false;
  #ending = false;

  constructor(options: ServerOptions) {
    this.#options = options;
    this.#drawn = options.command.drawn?.() ?? {};
  }

  /** Once. What is asked for meanwhile is done then. */
  start(read: Read): Promise<Admin> {
    const started = this.#start(read);
    this.#last = started;
    return started;
  }

  async #start(read: Read): Promise<Admin> {
    const permissions = await permissionsOf(this.#options.command.files(read.config));
    const admin = await Admin.start(this.#team(read, permissions));
    [this.#read, this.#permissions, this.#admin] = [read, permissions, admin];
    return admin;
  }

  /** Has all processes take the configuration as it is now. Rejects, and nothing has changed. */
  reload(): Promise<void> {
    return this.#alone(async (admin, before) => {
      const { command } = this.#options;
      const next = await this.#readAgain(FIXED, before);
      refuseKeys(next.config);
      refuseOtherFiles(this.#permissions as Permissions, await permissionsOf(command.files(next.config)));
      await admin.reload(this.#settings(next), this.#judge(next));
      this.#read = next;
    });
  }

  /**
   * Has other processes, with the program and the configuration as they are now, take over. If they cannot, those that run go on. Asked while it goes on, it
   * is done once more: what was read may have changed since.
   */
  upgrade(): void {
    if (this.#upgradeWanted || this.#ending) return;
    this.#upgradeWanted = true;
    // A start that fails is told of elsewhere.
    this.#alone((admin, before) => this.#upgrade(admin, before)).catch(() => undefined);
  }

  async #upgrade(admin: Admin, before: Read): Promise<void> {
    const { command, output } = this.#options;
    this.#upgradeWanted = false;
    if (this.#ending) return;
    try {
      output.log({ event: 'upgrading' }, 'other processes are started to take over');
      const next = await this.#readAgain(ADMINS, before);
      const permissions = await permissionsOf(command.files(next.config));
      await admin.upgrade(this.#team(next, permissions));
      [this.#read, this.#permissions] = [next, permissions];
      output.log({ event: 'upgraded' }, 'other processes take over; those before them end');
    } catch (error) {
      if (this.#ending) return; // which is why, and was said
      const reasons = reasonsOf(error).join('; ');
      output.log({ event: 'upgrade-refused', error: reasons }, `not upgraded, all goes on: ${reasons}`);
    }
  }

  /** Lets sessions end, and resolves when all processes have. */
  async drain(): Promise<void> {
    this.#ending = true;
    await this.#admin?.drain();
  }

  /** One after the other. */
  #alone(action: (admin: Admin, before: Read) => Promise<void>): Promise<void> {
    const done = this.#last.then(() => action(this.#admin as Admin, this.#read as Read));
    this.#last = done.catch(() => undefined);
    return done;
  }

  async #readAgain(fixed: typeof FIXED | typeof ADMINS, before: Read): Promise<Read> {
    const { command, argv, output } = this.#options;
    const next = await readServerConfig(command, argv);
    sayUnchanged(fixed, before.config, next.config, output);
    const kept = (from: object) => Object.fromEntries(fixed.map((name) => [name, Reflect.get(from, name)]));
    return {
      config: { ...next.config, ...kept(before.config) },
      given: { ...next.given, ...kept(before.given) },
    };
  }

  #team(read: Read, permissions: Permissions): TeamOptions {
    const { listener, output } = this.#options;
    return {
      workers: workersOf(read.config),
      // A session on the link of a front cannot be handed over (spec 13.1).
      acceptor: !read.config.behindFront,
      settings: this.#settings(read),
      notForKeeper: this.#options.command.notForKeeper ?? [],
      listener,
      spawn: (role) => this.#spawn(role, permissions),
      check: this.#judge(read),
      report: (report) => output.log({ ...report }, textOf(report)),
    };
  }

  /** What all processes are told. Where to listen is the admin's: a socket of systemd has been passed to it alone. */
  #settings({ given: { listen: _, ...given } }: Read): Readonly<Record<string, unknown>> {
    return { ...this.#drawn, ...given };
  }

  #judge({ config }: Read): TeamOptions['check'] {
    const { command, output } = this.#options;
    return (kept) => {
      keyLogFiles(config.keylog, output);
      command.check(config, kept, output);
    };
  }

  #spawn(role: Role, permissions: Permissions): Running {
    const { command, output, user } = this.#options;
    const isKeeper = role === 'keeper';
    return spawnRole({
      script: SCRIPT,
      args: [role, command.name, output.json ? 'json' : 'text'],
      permissions: isKeeper ? KEEPERS_PERMISSIONS : permissions,
      env: environment(isKeeper ? [...ENVIRONMENT, ...KEEPERS_ENVIRONMENT] : ENVIRONMENT),
      collects: role === 'acceptor',
      stdin: isKeeper,
      user: isKeeper ? undefined : user,
    });
  }
}

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
      `the processes that run have no access to ${other}: SIGUSR2 starts others, which have`,
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
  const { process, pid } = report;
  switch (report.event) {
    case 'process-start':
      return undefined;
    case 'process-silent':
      return `the process "${process}" (${pid}) has not done what it was told for ${report.silent / 1000} s, and is waited for; if it hangs, end it: kill -KILL ${pid}`;
    case 'process-exit': {
      const { code, signal, reason, wait } = report;
      const how = `${describe({ code, signal })}${reason ? ` (${reason})` : ''}`;
      const lost =
        process === 'keeper' ? 'sessions go on, and no keys are negotiated' : 'its sessions are lost';
      return `the process "${process}" (${pid}) ${how}: ${lost}; another one is started in ${wait} ms`;
    }
  }
}
