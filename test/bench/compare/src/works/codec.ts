import { performance } from 'node:perf_hooks';
import { encodeDataHead, FrameDecoder } from '@keymux/frames';
import type { Numbers } from '../commands.ts';

const CHUNK = 64 * 1024;
const SMALL = 16;

/** T9: the codec alone, in this process. */
export function measureCodec(seconds: number): Numbers {
  const large = frames(32, 1, CHUNK);
  const copy = new Uint8Array(large.length);
  const gbPerSecond = (run: () => void): number => (rate(seconds, run) * large.length) / 1e9;
  const decoder = new FrameDecoder({ place: 'outside', sealed: true });
  const parsed = (chunk: Uint8Array): void => {
    decoder.push(chunk);
    while (decoder.next() !== undefined);
  };
  const count = 10_000;
  const nsPerFrame = (streams: number): number => {
    const small = frames(count, streams, SMALL);
    return 1e9 / (rate(seconds, () => parsed(small)) * count);
  };
  return {
    copy: gbPerSecond(() => copy.set(large)),
    parse: gbPerSecond(() => parsed(large)),
    nsPerFrame1: nsPerFrame(1),
    nsPerFrame100: nsPerFrame(100),
    nsPerFrame10000: nsPerFrame(10_000),
    nsPerHead:
      1e9 /
      (rate(seconds, () => {
        for (let i = 0; i < count; i++) encodeDataHead(1, false, CHUNK);
      }) *
        count),
  };
}

export const CODEC = {
  name: 'T9',
  title: 'the codec alone',
  columns: [
    { key: 'copy', title: 'memory copy GB/s', digits: 1 },
    { key: 'parse', title: '64 KiB DATA frames parsed GB/s', digits: 1 },
    { key: 'nsPerFrame1', title: 'ns a small frame, 1 stream' },
    { key: 'nsPerFrame100', title: '100 streams' },
    { key: 'nsPerFrame10000', title: '10,000 streams' },
    { key: 'nsPerHead', title: 'ns a DATA head written' },
  ],
};

function frames(count: number, streams: number, size: number): Uint8Array {
  const payload = new Uint8Array(size);
  return Buffer.concat(
    Array.from({ length: count }, (_, i) => [
      encodeDataHead(2 * (i % streams) + 1, false, size),
      payload,
    ]).flat(),
  );
}

/** How often a second it runs, after a quarter of that time to get warm. */
function rate(seconds: number, run: () => void): number {
  repeat(seconds / 4, run);
  return repeat(seconds, run);
}

function repeat(seconds: number, run: () => void): number {
  const start = performance.now();
  let runs = 0;
  do {
    run();
    runs++;
  } while (performance.now() - start < seconds * 1000);
  return runs / ((performance.now() - start) / 1000);
}
