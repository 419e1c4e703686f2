import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { ServiceManager } from '../src/service/service-manager.ts';

beforeEach(() => vi.useFakeTimers());
afterEach(() => vi.useRealTimers());

const WATCHED = { NOTIFY_SOCKET: '/run/notify', WATCHDOG_USEC: '2000000' };

/** A manager, what it is told, and what it warns of. `send` is how telling goes. */
function managed(environment: NodeJS.ProcessEnv, send: () => Promise<void> = async () => undefined) {
  const told: string[] = [];
  const warnings: string[] = [];
  const manager = new ServiceManager(
    environment,
    (text) => warnings.push(text),
    (socket) => async (assignments) => {
      expect(socket).toBe('/run/notify');
      told.push(assignments.join(' '));
      await send();
    },
  );
  return { manager, told, warnings };
}

test('systemd hears in order what becomes of the service', async () => {
  const { manager, told } = managed({ NOTIFY_SOCKET: '/run/notify' });
  manager.ready();
  manager.reloading();
  manager.ready();
  manager.stopping();
  await manager.end();
  const ready = `MAINPID=${process.pid} READY=1`;
  expect(told).toEqual([
    ready,
    expect.stringMatching(/^RELOADING=1 MONOTONIC_USEC=[0-9]+$/),
    ready,
    'STOPPING=1',
  ]);
  const [, microseconds] = /USEC=([0-9]+)/.exec(told[1] as string) ?? [];
  const passed = process.hrtime.bigint() / 1000n - BigInt(microseconds as string);
  expect(passed >= 0n && passed < 60_000_000n).toBe(true);
});

test('nobody is told if nobody asked', async () => {
  const { manager, told } = managed({ WATCHDOG_USEC: '1000' });
  manager.ready();
  manager.stopping();
  await vi.advanceTimersByTimeAsync(60_000);
  await manager.end();
  expect(told).toEqual([]);
});

test('signs of life come twice in the time that the watchdog allows, from the start to the end', async () => {
  const { manager, told } = managed(WATCHED);
  const signs = (): number => told.filter((text) => text === 'WATCHDOG=1').length;
  await vi.advanceTimersByTimeAsync(10_000);
  expect(signs()).toBe(0); // it is not ready yet, and has until TimeoutStartSec
  manager.ready();
  await vi.advanceTimersByTimeAsync(5_000);
  expect(signs()).toBe(5);
  manager.reloading();
  manager.ready();
  manager.stopping();
  await vi.advanceTimersByTimeAsync(5_000);
  expect(signs()).toBe(10); // it drains, and lives
  await manager.end();
  await vi.advanceTimersByTimeAsync(5_000);
  expect(signs()).toBe(10);
});

test('the watchdog of another process is none of ours', async () => {
  const { manager, told } = managed({ ...WATCHED, WATCHDOG_PID: '1' });
  manager.ready();
  await vi.advanceTimersByTimeAsync(5_000);
  expect(told).toHaveLength(1);
  const own = managed({ ...WATCHED, WATCHDOG_PID: String(process.pid) });
  own.manager.ready();
  await vi.advanceTimersByTimeAsync(5_000);
  expect(own.told).toHaveLength(6);
  await own.manager.end();
});

test('signs of life do not queue up behind one that is slow', async () => {
  const slow = (): Promise<void> => new Promise((resolve) => setTimeout(resolve, 60_000));
  const { manager, told } = managed(WATCHED, slow);
  manager.ready();
  await vi.advanceTimersByTimeAsync(600_000);
  expect(told.length).toBeLessThanOrEqual(11);
  expect(told.length).toBeGreaterThanOrEqual(9);
  const ended = manager.end();
  await vi.advanceTimersByTimeAsync(120_000);
  await ended;
});

test('what cannot be told is said once, with the remedy, and hinders nothing', async () => {
  const { manager, warnings } = managed(WATCHED, () =>
    Promise.reject(Object.assign(new Error('spawn systemd-notify ENOENT'), { code: 'ENOENT' })),
  );
  manager.ready();
  await vi.advanceTimersByTimeAsync(5_000);
  manager.stopping();
  await manager.end();
  expect(warnings).toEqual([expect.stringMatching(/no program systemd-notify.*Install.*Type=exec/)]);
});
