import { execFile } from 'node:child_process';
import { promisify } from 'node:util';

/** Tells the service manager `NAME=VALUE` pairs, all at once; resolves when it has heard of them. */
export type Send = (assignments: readonly string[]) => Promise<void>;

/** Milliseconds that telling may take. */
const PATIENCE = 10_000;

/**
 * Tells systemd how the program is, by the protocol of sd_notify(3): where the unit has `Type=notify`, or `WatchdogSec=`. Says nothing if nobody asked.
 *
 * Node has no datagrams over Unix sockets, so `systemd-notify` speaks for this process; the unit needs `NotifyAccess=all`. It comes with systemd. If it cannot
 * be run, that is said once, and the program goes on.
 */
export class ServiceManager {
  readonly #send: Send | undefined;
  readonly #warn: (text: string) => void;
  /** Milliseconds between signs of life; undefined if none are wanted. */
  readonly #interval: number | undefined;
  #told: Promise<void> = Promise.resolve();
  #timer: NodeJS.Timeout | undefined;
  #failed = false;

  /** `environment` says who listens, and what for; `send` is for tests. */
  constructor(
    environment: NodeJS.ProcessEnv,
    warn: (text: string) => void,
    send: (socket: string) => Send = sendByTool,
  ) {
    const { NOTIFY_SOCKET: socket, WATCHDOG_USEC: microseconds, WATCHDOG_PID: pid } = environment;
    this.#warn = warn;
    this.#send = socket ? send(socket) : undefined;
    const watched = Number(microseconds) > 0 && (pid === undefined || Number(pid) === process.pid);
    // Half of what is allowed, as sd_watchdog_enabled(3) advises. A timer that comes late is what the watchdog is for.
    this.#interval = watched ? Math.max(1, Number(microseconds) / 2000) : undefined;
  }

  /** It can be used now: at the start, and after `reloading`. Signs of life begin. */
  ready(): void {
    void this.#tell(`MAINPID=${process.pid}`, 'READY=1');
    if (this.#send === undefined || this.#interval === undefined || this.#timer !== undefined) return;
    let told = true; // one at a time, however slow it is
    this.#timer = setInterval(() => {
      if (!told) return;
      told = false;
      void this.#tell('WATCHDOG=1').then(() => {
        told = true;
      });
    }, this.#interval).unref();
  }

  /** The configuration is being read again; `ready` must follow. */
  reloading(): void {
    const now = process.hrtime.bigint() / 1000n; // of the clock that systemd compares it with, CLOCK_MONOTONIC
    void this.#tell('RELOADING=1', `MONOTONIC_USEC=${now}`);
  }

  /** It takes nothing new from now on. Signs of life go on while it drains. */
  stopping(): void {
    void this.#tell('STOPPING=1');
  }

  /** Resolves when all that was told has arrived, or failed. Ends signs of life. */
  async end(): Promise<void> {
    clearInterval(this.#timer);
    await this.#told;
  }

  /** In the order of the calls. Never rejects. */
  #tell(...assignments: readonly string[]): Promise<void> {
    const send = this.#send;
    if (send !== undefined)
      this.#told = this.#told.then(() => send(assignments)).catch((error: Error) => this.#failedBy(error));
    return this.#told;
  }

  #failedBy(error: Error): void {
    if (this.#failed) return;
    this.#failed = true;
    this.#warn(
      `systemd could not be told how this service is (${reasonOf(error)}): it may wait for that in vain. Install systemd-notify, and write NotifyAccess=all; or write Type=exec, and no WatchdogSec=`,
    );
  }
}

function sendByTool(socket: string): Send {
  const run = promisify(execFile);
  const { PATH } = process.env;
  const options = { env: { PATH, NOTIFY_SOCKET: socket }, timeout: PATIENCE };
  return async (assignments) => void (await run('systemd-notify', [...assignments], options));
}

function reasonOf({ message, code, killed }: Error & { code?: unknown; killed?: boolean }): string {
  if (code === 'ENOENT') return 'there is no program systemd-notify';
  return killed ? 'systemd-notify did not end' : (message.trim().split('\n').at(-1) ?? '');
}
