import type { Work } from '../work.ts';

const MIB = 2 ** 20;

/** Long links: one stream over them, and the first byte of a fresh connection, counted in round trips. */
export const linkWorks = (contenders: readonly string[]): readonly Work[] =>
  [
    { roundTrip: 20, stalls: 0 },
    { roundTrip: 100, stalls: 0 },
    { roundTrip: 300, stalls: 0 },
    { roundTrip: 20, stalls: 0.01 },
  ].map((link) => ({
    name: `T7 ${link.roundTrip} ms${link.stalls === 0 ? '' : ', stalls'}`,
    title: `one stream to the client over a link of ${link.roundTrip} ms there and back${link.stalls === 0 ? '' : `, ${link.stalls * 100} % of it 200 ms late`}`,
    columns: [
      { key: 'mbPerSecond', title: 'MiB/s' },
      { key: 'firstByte', title: 'first byte, round trips', digits: 1 },
    ],
    contenders,
    link,
    measure: async ({ command }, { linkBytes: bytes }) => {
      const { milliseconds = Number.NaN } = await command({ do: 'first-byte' });
      await command({ do: 'transfer', direction: 'down', streams: 1, bytes: bytes / 4 });
      const { seconds = Number.NaN } = await command({
        do: 'transfer',
        direction: 'down',
        streams: 1,
        bytes,
      });
      return { mbPerSecond: bytes / MIB / seconds, firstByte: milliseconds / link.roundTrip };
    },
  }));
