import type { PipeKeys } from '@keymux/keeper';
import { LocalSpipedKeeper, type SpipedKeeper } from '@keymux/keys';
import { readKey } from '../keys.ts';
import type { Output } from '../output.ts';

/** The keys of a keeper for pipes, which can be replaced while it runs. */
export class KeptPipes implements PipeKeys {
  #keepers: ReadonlyMap<string, SpipedKeeper>;

  constructor(keepers: ReadonlyMap<string, SpipedKeeper>) {
    this.#keepers = keepers;
  }

  get labels(): readonly string[] {
    return [...this.#keepers.keys()];
  }

  find(label: string): SpipedKeeper | undefined {
    return this.#keepers.get(label);
  }

  /** Handshakes in progress go on with the keys that they were begun with. */
  replace(keepers: ReadonlyMap<string, SpipedKeeper>): void {
    this.#keepers = keepers;
  }
}

/** Rejects with KeyError if a file cannot be used. */
export async function loadPipes(
  paths: readonly string[],
  output: Output,
): Promise<ReadonlyMap<string, SpipedKeeper>> {
  const keepers = new Map<string, SpipedKeeper>();
  for (const path of paths) {
    const key = await readKey(path, output);
    keepers.set(key.label, new LocalSpipedKeeper({ key }));
  }
  return keepers;
}
