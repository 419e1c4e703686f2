import { rmSync } from 'node:fs';
import { mkdtemp } from 'node:fs/promises';
import { constants, tmpdir } from 'node:os';
import { join } from 'node:path';

/** What a demonstration needs behind the scenes. */
export interface Backstage {
  /** Names a file in a directory that is gone at the end. */
  readonly path: (name: string) => string;
  /** Has something done at the end, the last first. */
  readonly defer: (step: () => unknown) => void;
}

/** Plays something, and leaves no files or processes behind, however it ends. */
export async function withBackstage<T>(play: (backstage: Backstage) => Promise<T>): Promise<T> {
  const cleanup: (() => unknown)[] = [];
  const defer = (step: () => unknown): void => {
    cleanup.push(step);
  };
  for (const signal of ['SIGHUP', 'SIGINT', 'SIGTERM'] as const) {
    const end = (): never => endBy(signal);
    process.once(signal, end);
    defer(() => process.off(signal, end));
  }
  try {
    const directory = await mkdtemp(join(tmpdir(), 'keymux-demo-'));
    const remove = (): void => rmSync(directory, { recursive: true, force: true });
    process.once('exit', remove);
    defer(() => process.off('exit', remove));
    defer(remove);
    return await play({ path: (name) => join(directory, name), defer });
  } finally {
    for (const step of cleanup.reverse()) await step();
  }
}

/** Ends as by a signal, but so that what is for the end of the process is done. */
export function endBy(signal: 'SIGHUP' | 'SIGINT' | 'SIGTERM'): never {
  process.exit(128 + constants.signals[signal]);
}
