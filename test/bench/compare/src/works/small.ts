import type { Work } from '../work.ts';

const LATENCY = [
  { key: 'p50', title: 'p50 ms', digits: 3 },
  { key: 'p99', title: 'p99 ms', digits: 3 },
];
const RATE = { key: 'perSecond', title: 'per second' };
const SIZE = 1024;
const KIND = 'small';

/** What counts messages, streams and sessions, and not bytes. */
export const smallWorks = (contenders: readonly string[]): readonly Work[] => [
  {
    name: 'T3',
    title: 'echo of 1 KiB, one after the other',
    columns: LATENCY,
    contenders,
    kind: KIND,
    measure: async ({ command }, { messages, warmUp }) => {
      await command({ do: 'requests', concurrency: 1, seconds: warmUp, size: SIZE });
      return command({ do: 'echo', messages, size: SIZE });
    },
  },
  {
    name: 'T3 beside bulk',
    title: 'the same, while a download uses the same connection',
    columns: LATENCY,
    contenders,
    kind: KIND,
    measure: async ({ command }, { messages, bytes }) => {
      await command({ do: 'transfer', direction: 'down', streams: 1, bytes: bytes / 4 });
      return command({ do: 'echo', messages: messages / 2, size: SIZE, beside: 'bulk' });
    },
  },
  {
    name: 'rps',
    title: 'echoes of 1 KiB, 64 streams at a time',
    columns: [RATE, ...LATENCY],
    contenders,
    kind: KIND,
    measure: async ({ command }, { seconds, warmUp }) => {
      await command({ do: 'requests', concurrency: 64, seconds: warmUp, size: SIZE });
      return command({ do: 'requests', concurrency: 64, seconds, size: SIZE });
    },
  },
  {
    name: 'T4',
    title: 'new streams from client to origin, a byte there and back on each, 32 at a time',
    columns: [RATE],
    contenders,
    kind: KIND,
    measure: async ({ command }, { seconds, warmUp }) => {
      await command({ do: 'streams', concurrency: 32, seconds: warmUp });
      return command({ do: 'streams', concurrency: 32, seconds });
    },
  },
  {
    name: 'T8',
    title: 'small messages of 100 streams, alone and beside a download',
    columns: [
      { key: 'alone', title: 'alone ms', digits: 2 },
      { key: 'beside', title: 'beside ms', digits: 2 },
      { key: 'worstBeside', title: 'worst stream ms', digits: 2 },
    ],
    contenders,
    kind: KIND,
    measure: ({ command }, { messages }) =>
      command({ do: 'fairness', streams: 100, messages: Math.ceil(messages / 50), size: SIZE }),
  },
];

export const sessionWork = (contenders: readonly string[]): Work => ({
  name: 'T5',
  title: 'new connections with a key of their own, a byte there and back on each, 32 at a time',
  columns: [RATE],
  contenders,
  measure: async ({ command }, { seconds, sessionWarmUp }) => {
    await command({ do: 'sessions', concurrency: 32, seconds: sessionWarmUp });
    return command({ do: 'sessions', concurrency: 32, seconds });
  },
});
