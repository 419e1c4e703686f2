import type { SpipedKeeper } from '@keymux/keys';

/** The keys that a keeper has for connections of spiped (spec chapter 11), by label. They are for no host, and so for those callers only who may use all. */
export interface PipeKeys {
  readonly labels: readonly string[];
  find(label: string): SpipedKeeper | undefined;
}

export const NO_PIPES: PipeKeys = { labels: [], find: () => undefined };
