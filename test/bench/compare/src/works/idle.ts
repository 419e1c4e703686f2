import { halfOfDescriptors } from '@keymux/streams';
import type { Numbers } from '../commands.ts';
import type { Contender } from '../contender.ts';
import type { Part } from '../stage.ts';
import type { Play, Work } from '../work.ts';

const KIB = 1024;
const USED = 16 * KIB;

/** What an open stream costs in memory when nothing happens on it, and after it has been used. */
export const idleWork = (contenders: readonly string[]): Work => ({
  name: 'T6',
  title: 'memory of an open stream: idle, and after an echo of 16 KiB',
  columns: [
    { key: 'proxyIdle', title: 'proxy KiB', digits: 1 },
    { key: 'clientIdle', title: 'client KiB', digits: 1 },
    { key: 'proxyUsed', title: 'proxy KiB, used', digits: 1 },
    { key: 'clientUsed', title: 'client KiB, used', digits: 1 },
  ],
  contenders,
  measure: async (play, { idleStreams: most, warmUp }) => {
    const idleStreams = openable(most, play.contender);
    // What the first streams load, and what the heap grows to by use, is no stream's cost.
    await play.command({ do: 'streams', concurrency: 32, seconds: Math.max(1, warmUp) });
    await play.stage.collect();
    const before = play.stage.rss();
    await play.command({ do: 'hold', streams: idleStreams });
    const idle = await settled(play, before, idleStreams);
    await play.command({ do: 'use', bytes: USED });
    const used = await settled(play, before, idleStreams);
    return {
      proxyIdle: idle('proxy'),
      clientIdle: idle('client'),
      proxyUsed: used('proxy'),
      clientUsed: used('client'),
    };
  },
});

/** Of so many streams, those that can be open at a time: but for sessions end to end, each is a connection of the proxy's, or two. */
export function openable(streams: number, { name }: Contender): number {
  const SPARE = 600;
  return name === 'keymux' ? streams : Math.min(streams, halfOfDescriptors() - SPARE);
}

async function settled({ stage }: Play, before: Numbers, streams: number): Promise<(part: Part) => number> {
  await stage.collect();
  const now = stage.rss();
  return (part) => (now[part] - (before[part] ?? 0)) / streams / KIB;
}
