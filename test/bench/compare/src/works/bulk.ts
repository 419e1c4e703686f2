import { performance } from 'node:perf_hooks';
import type { Numbers } from '../commands.ts';
import { PARTS, type Part } from '../stage.ts';
import type { Play, Scale, Work } from '../work.ts';

const MIB = 2 ** 20;
const GIB = 2 ** 30;
const COLUMNS = [
  { key: 'mbPerSecond', title: 'MiB/s' },
  { key: 'cpu', title: 'CPU s/GiB', digits: 2 },
  { key: 'origin', title: 'origin', digits: 2 },
  { key: 'proxy', title: 'proxy', digits: 2 },
  { key: 'client', title: 'client', digits: 2 },
  { key: 'peakRss', title: 'peak RSS MiB' },
];

function bulk(
  name: string,
  title: string,
  direction: 'down' | 'up',
  streams: number,
  contenders: readonly string[],
): Work {
  return {
    name,
    title,
    columns: COLUMNS,
    contenders,
    kind: 'bulk',
    measure: (play, scale) => measure(play, direction, streams, scale),
  };
}

async function measure(
  { stage, command }: Play,
  direction: 'down' | 'up',
  streams: number,
  { bytes, warmUp }: Scale,
): Promise<Numbers> {
  for (const end = performance.now() + warmUp * 1000; ; ) {
    await command({ do: 'transfer', direction, streams, bytes: bytes / 8 });
    if (performance.now() > end) break;
  }
  stage.peakRss(); // what was before
  const before = stage.cpu();
  const { seconds = Number.NaN } = await command({ do: 'transfer', direction, streams, bytes });
  const after = stage.cpu();
  const used = (part: Part): number => (after[part] - before[part]) / (bytes / GIB);
  const peak = stage.peakRss();
  return {
    mbPerSecond: bytes / MIB / seconds,
    cpu: PARTS.reduce((sum, part) => sum + used(part), 0),
    ...Object.fromEntries(PARTS.map((part) => [part, used(part)])),
    peakRss: PARTS.reduce((sum, part) => sum + peak[part], 0) / MIB,
  };
}

export const bulkWorks = (contenders: readonly string[]): readonly Work[] => [
  bulk('T1 down', 'one stream, to the client', 'down', 1, contenders),
  bulk('T1 up', 'one stream, to the origin', 'up', 1, contenders),
  bulk('T2', '100 streams, to the client', 'down', 100, contenders),
];
