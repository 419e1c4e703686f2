import { performance } from 'node:perf_hooks';
import type { Contender } from '../contender.ts';
import { PARTS } from '../stage.ts';
import type { Work } from '../work.ts';
import { openable } from './idle.ts';

const GIB = 2 ** 30;
const COUNTS = [1, 10, 100, 1000, 10_000];
const columns = COUNTS.map((count) => ({
  key: String(count),
  title: count.toLocaleString('en'),
  digits: 2,
}));

/** How costs grow with the number of streams of one session: per stream, or per byte, they must not. */
export const growthWorks = (contenders: readonly string[]): readonly Work[] => [
  {
    ...{ name: 'T1 by streams', title: 'CPU s/GiB of downloads, by the number of streams', columns },
    contenders,
    thorough: true,
    measure: async ({ contender, stage, command }, { bytes: most, idleStreams, warmUp }) => {
      const bytes = most / 4;
      const transfer = { do: 'transfer', direction: 'down' } as const;
      for (const end = performance.now() + warmUp * 1000; performance.now() < end; )
        await command({ ...transfer, streams: 1, bytes: bytes / 4 });
      const numbers: Record<string, number> = {};
      for (const [count, streams] of upTo(idleStreams, contender)) {
        await command({ do: 'prepare', streams });
        const before = stage.cpu();
        await command({ ...transfer, streams, bytes });
        const after = stage.cpu();
        const used = PARTS.reduce((sum, part) => sum + after[part] - before[part], 0);
        numbers[count] = used / (bytes / GIB);
      }
      return numbers;
    },
  },
  {
    ...{
      name: 'T4 by streams',
      title: 'new streams a second, by the number of those that are open',
      columns,
    },
    contenders,
    thorough: true,
    measure: async ({ contender, command }, { seconds, idleStreams, warmUp }) => {
      await command({ do: 'streams', concurrency: 32, seconds: warmUp });
      const numbers: Record<string, number> = {};
      let held = 0;
      for (const [count, streams] of upTo(idleStreams, contender)) {
        await command({ do: 'hold', streams: streams - held });
        held = streams;
        const { perSecond = Number.NaN } = await command({ do: 'streams', concurrency: 32, seconds });
        numbers[count] = perSecond;
      }
      return numbers;
    },
  },
  {
    ...{ name: 'T6 by streams', title: 'KiB of the proxy for each idle stream, by their number', columns },
    contenders,
    thorough: true,
    measure: async ({ contender, stage, command }, { idleStreams, warmUp }) => {
      await command({ do: 'streams', concurrency: 32, seconds: Math.max(1, warmUp) });
      await stage.collect();
      const before = stage.rss().proxy;
      const numbers: Record<string, number> = {};
      let held = 0;
      // Of a few streams nothing can be seen in pages of memory.
      for (const [count, streams] of upTo(idleStreams, contender).filter(([count]) => count >= 100)) {
        await command({ do: 'hold', streams: streams - held });
        held = streams;
        await stage.collect();
        numbers[count] = (stage.rss().proxy - before) / streams / 1024;
      }
      return numbers;
    },
  },
];

/** Columns, and how many streams are opened for each. */
function upTo(most: number, contender: Contender): [number, number][] {
  return COUNTS.filter((count) => count <= most).map((count) => [count, openable(count, contender)]);
}
