import type { ClientCommand, Numbers } from './commands.ts';
import type { Link, Stage } from './stage.ts';

/** A contender whose processes run. */
export interface Play {
  readonly stage: Stage;
  command(command: ClientCommand): Promise<Numbers>;
}

/** How much is measured: enough to see a trend within minutes, or enough to trust a few per cent. */
export interface Scale {
  readonly bytes: number;
  /** Seconds that counting works run. */
  readonly seconds: number;
  readonly messages: number;
  readonly idleStreams: number;
  /** For what is transferred over a long link. */
  readonly linkBytes: number;
}

export interface Work {
  readonly name: string;
  readonly title: string;
  /** What it measures, in the order of the table's columns, with the unit. */
  readonly columns: readonly { readonly key: string; readonly title: string; readonly digits?: number }[];
  /** Names of those who take part. */
  readonly contenders: readonly string[];
  readonly link?: Link;
  /** Needs processes that have done nothing before. */
  readonly alone?: boolean;
  measure(play: Play, scale: Scale): Promise<Numbers>;
}
