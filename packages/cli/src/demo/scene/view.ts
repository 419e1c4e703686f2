import type { Line } from '../table.ts';

export const PANES = ['client', 'wire', 'server'] as const;
export type Pane = (typeof PANES)[number];

export interface Act {
  /** From 1. */
  readonly number: number;
  readonly title: string;
}

/** Where the scene is shown. */
export interface View {
  /** A new act begins, with empty panes. */
  begin(act: Act): void;
  /** Something happened; resolves when it could be seen. */
  show(pane: Pane, lines: readonly Line[]): Promise<void>;
  /** Resolves when all that happened could be seen, and nothing follows at once. */
  settled(): Promise<void>;
  /** Tells the audience what it sees; resolves when it could be read. */
  tell(lines: readonly Line[]): Promise<void>;
  /** The last page; resolves when it could be read. */
  conclude(lines: readonly Line[]): Promise<void>;
  /** Gives the terminal back. */
  close(): void;
}

/** For scripts, which read the document at the end. */
export const SILENT: View = {
  begin: () => undefined,
  show: async () => undefined,
  settled: async () => undefined,
  tell: async () => undefined,
  conclude: async () => undefined,
  close: () => undefined,
};
