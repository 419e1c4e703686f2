import type { Numbers } from '../commands.ts';
import type { Contender } from '../contender.ts';
import type { Link } from '../stage.ts';
import type { Play, Scale, Work } from '../work.ts';

const MIB = 2 ** 20;
const USUAL: Link = { roundTrip: 100, stalls: 0 };
const LINKS: readonly Link[] = [
  { roundTrip: 20, stalls: 0 },
  USUAL,
  { roundTrip: 300, stalls: 0 },
  { roundTrip: 20, stalls: 0.01 },
];

/** Long links: one stream over them, and the first byte of a fresh connection, counted in round trips. */
export const linkWorks = (contenders: readonly Contender[]): readonly Work[] =>
  LINKS.map((link) => ({
    name: `T7 ${link.roundTrip} ms${link.stalls === 0 ? '' : ', stalls'}`,
    title: `one stream to the client over 1 Gbit/s and ${link.roundTrip} ms there and back${link.stalls === 0 ? '' : `, ${link.stalls * 100} % of it 200 ms late`}`,
    columns: [
      { key: 'mbPerSecond', title: 'MiB/s' },
      { key: 'firstByte', title: 'first byte, round trips', digits: 2 },
    ],
    contenders: contenders.map(({ name }) => name),
    kind: 'links',
    thorough: link !== USUAL,
    measure: (play, scale) => measure(play, scale, link),
  }));

async function measure({ contender, stage, command }: Play, scale: Scale, link: Link): Promise<Numbers> {
  await stage.lengthen({ roundTrip: 0, stalls: 0 });
  await command({ do: 'sessions', concurrency: 8, seconds: scale.warmUp });
  await stage.lengthen(link);
  const { milliseconds = Number.NaN } = await command({
    ...{ do: 'first-byte', connections: scale.linkConnections },
  });
  const firstByte = milliseconds / link.roundTrip;
  if (contender.onLinks === 'first byte') return { firstByte };
  // What was found out about another link is not for this one.
  await command({ do: 'leave' });
  const transfer = { do: 'transfer', direction: 'down', streams: 1 } as const;
  await command({ ...transfer, bytes: scale.linkBytes / 2 });
  const { seconds = Number.NaN } = await command({ ...transfer, bytes: scale.linkBytes });
  const mbPerSecond = scale.linkBytes / MIB / seconds;
  return contender.onLinks === 'throughput' ? { mbPerSecond } : { mbPerSecond, firstByte };
}
