import type { ClientCommand, Numbers } from './commands.ts';
import type { Contender } from './contender.ts';
import type { Stage } from './stage.ts';

/** A contender whose processes run. */
export interface Play {
  readonly contender: Contender;
  readonly stage: Stage;
  command(command: ClientCommand): Promise<Numbers>;
}

/** How much is measured: enough to see a trend within minutes, or enough to trust a few per cent. */
export interface Scale {
  readonly bytes: number;
  /** Seconds that counting works run. */
  readonly seconds: number;
  /** Seconds that code runs before it is measured: else what would be measured is how long it takes to compile. New sessions take the most code. */
  readonly warmUp: number;
  readonly sessionWarmUp: number;
  readonly messages: number;
  readonly idleStreams: number;
  /** For what is transferred over a long link. */
  readonly linkBytes: number;
  /** Fresh connections over a long link, of which the median counts. */
  readonly linkConnections: number;
}

export interface Work {
  readonly name: string;
  readonly title: string;
  /** What it measures, in the order of the table's columns, with the unit. */
  readonly columns: readonly { readonly key: string; readonly title: string; readonly digits?: number }[];
  /** Names of those who take part. */
  readonly contenders: readonly string[];
  /** Works of one kind are done one after the other by the same processes, which are warm then; others have processes that have done nothing before. */
  readonly kind?: 'bulk' | 'small' | 'links';
  /** Shows nothing in a hurry, when it is left out. */
  readonly thorough?: boolean;
  measure(play: Play, scale: Scale): Promise<Numbers>;
}
