import { once } from 'node:events';
import type { AddressInfo } from 'node:net';
import { isatty } from 'node:tty';
import type { Output } from './output.ts';
import { Reloader } from './reload.ts';
import { ServiceManager } from './service/service-manager.ts';

/** What signals have done. */
interface Service {
  /** Takes nothing new, and resolves when what goes on has ended, or its time is up. */
  close(): Promise<void>;
  /** Reads configuration and keys again, for SIGHUP. What it rejects with is why everything stays as it was. */
  reload?(): Promise<void>;
}

/** Where something listens. */
type Place = AddressInfo | string;

/**
 * Says where a service listens as soon as it does, runs it until SIGINT or SIGTERM, or until `stop` is aborted, then lets it drain; a second signal ends it
 * at once. Has it read its configuration again on SIGHUP; one that comes before it listens is heeded then. Keeps the service manager informed of all that. Rejects
 * as `listening` does.
 */
export async function serveUntilSignal(
  what: string,
  service: Service,
  listening: Place | readonly Place[] | Promise<Place>,
  output: Output,
  stop = new AbortController(),
): Promise<void> {
  const manager = new ServiceManager(process.env, (text) => output.warn(text));
  const { reload } = service;
  const reloader = reload && new Reloader(() => reload.call(service), output, manager);
  const terminals = openTerminals();
  const hangUp = (): void => {
    if (!isGone(terminals)) return void reloader?.request();
    process.off('SIGHUP', hangUp);
    process.kill(process.pid, 'SIGHUP'); // ends it, as any program that was started there
  };
  if (reloader !== undefined) process.on('SIGHUP', hangUp);
  try {
    const places = [await listening].flat();
    // Before anybody is told that it listens, and may send one.
    const wait = { signal: stop.signal };
    const ending = Promise.race([once(process, 'SIGINT', wait), once(process, 'SIGTERM', wait)]);
    for (const place of places) {
      const text = formatPlace(place);
      output.log({ event: 'listening', service: what, address: text }, `${what} listens on ${text}`);
    }
    manager.ready();
    reloader?.start();
    await ending.catch(() => undefined);
    stop.abort();
    manager.stopping();
    reloader?.end();
    const closed = service.close(); // who reads that it drains finds nobody listening any more
    output.log({ event: 'draining' }, 'draining; a second signal ends it at once');
    await closed;
    await manager.end();
  } finally {
    process.off('SIGHUP', hangUp);
  }
}

export function formatAddress({ address, family, port }: AddressInfo): string {
  return family === 'IPv6' ? `[${address}]:${port}` : `${address}:${port}`;
}

function formatPlace(place: Place): string {
  if (typeof place !== 'string') return formatAddress(place);
  return place === '' ? 'a Unix socket of systemd' : `unix:${place}`;
}

/** The standard streams that go to a terminal. */
function openTerminals(): readonly number[] {
  return [0, 1, 2].filter((fd) => isatty(fd));
}

/** SIGHUP also says that the terminal was closed: then nobody is there any more for whom to go on, and its descriptors are none of a terminal. */
function isGone(terminals: readonly number[]): boolean {
  return process.platform === 'win32' || terminals.some((fd) => !isatty(fd));
}
