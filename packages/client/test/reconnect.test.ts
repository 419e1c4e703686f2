import { describe, expect, it } from 'vitest';
import { Reconnector } from '../src/reconnect.ts';

/** A reconnector whose attempts and waits are written down instead of made. */
function rig(results: (string | Error)[]) {
  const waits: number[] = [];
  const made: string[] = [];
  const usable = new Set<string>();
  const reconnector = new Reconnector<string>(
    async () => {
      const result = results.shift() ?? 'more';
      if (result instanceof Error) throw result;
      made.push(result);
      usable.add(result);
      return result;
    },
    (value) => usable.has(value),
    {
      least: 100,
      most: 1000,
      sleep: async (ms) => {
        waits.push(ms);
      },
    },
  );
  return { reconnector, waits, made, usable };
}

describe('a reconnector', () => {
  it('makes a value once and keeps it while it can be used', async () => {
    const { reconnector, made } = rig(['a', 'b']);
    expect(await reconnector.get()).toBe('a');
    expect(await reconnector.get()).toBe('a');
    expect(made).toEqual(['a']);
  });

  it('lets calls that come together share one attempt', async () => {
    const { reconnector, made } = rig(['a', 'b']);
    expect(await Promise.all([reconnector.get(), reconnector.get()])).toEqual(['a', 'a']);
    expect(made).toEqual(['a']);
  });

  it('makes a new one when the old cannot be used, without waiting', async () => {
    const { reconnector, usable, waits } = rig(['a', 'b']);
    await reconnector.get();
    usable.clear();
    expect(await reconnector.get()).toBe('b');
    expect(waits).toEqual([]);
  });

  it('waits longer after each failure, at least half the time and never too long', async () => {
    const failures = Array.from({ length: 6 }, () => new Error('down'));
    const { reconnector, waits } = rig([...failures, 'a']);
    for (const _ of failures) await expect(reconnector.get()).rejects.toThrow('down');
    expect(await reconnector.get()).toBe('a');
    const full = [100, 200, 400, 800, 1000, 1000];
    expect(waits).toHaveLength(6);
    for (const [i, wait] of waits.entries()) {
      expect(wait).toBeGreaterThanOrEqual((full[i] as number) / 2);
      expect(wait).toBeLessThanOrEqual(full[i] as number);
    }
  });

  it('forgets failures once it succeeded', async () => {
    const { reconnector, usable, waits } = rig([new Error('down'), 'a', new Error('down'), 'b']);
    await expect(reconnector.get()).rejects.toThrow('down');
    await reconnector.get();
    usable.clear();
    await expect(reconnector.get()).rejects.toThrow('down');
    await reconnector.get();
    expect(waits.every((wait) => wait <= 100)).toBe(true);
  });
});
