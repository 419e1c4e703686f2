import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

/** What a test has opened, closed again in reverse order: `afterEach(() => scope.close())`. */
export class Scope {
  #steps: (() => unknown)[] = [];

  defer(step: () => unknown): void {
    this.#steps.push(step);
  }

  async close(): Promise<void> {
    const steps = this.#steps.reverse();
    this.#steps = [];
    for (const step of steps) await step();
  }

  /** A directory of its own; returns a function that makes paths in it. */
  async directory(): Promise<(name: string) => string> {
    const path = await mkdtemp(join(tmpdir(), 'keymux-test-'));
    this.defer(() => rm(path, { recursive: true, force: true }));
    return (name) => join(path, name);
  }
}
