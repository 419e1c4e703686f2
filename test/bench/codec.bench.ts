import { encodeControl, encodeDataHead, FrameDecoder } from '@keymux/frames';
import { bench, describe } from 'vitest';

const CHUNK = 64 * 1024;

function drain(decoder: FrameDecoder, chunk: Uint8Array): number {
  decoder.push(chunk);
  let items = 0;
  while (decoder.next() !== undefined) items++;
  return items;
}

/** DATA frames of `payload` bytes, as many as fill about `total` bytes. */
function dataFrames(payload: number, total: number): Uint8Array {
  const count = Math.max(1, Math.floor(total / (payload + 8)));
  return Buffer.concat(
    Array.from({ length: count }, (_, i) => [
      encodeDataHead(2 * i + 1, false, payload),
      new Uint8Array(payload),
    ]).flat(),
  );
}

describe('bytes parsed, against a copy of the same bytes', () => {
  const large = dataFrames(CHUNK, 16 * CHUNK);
  const target = new Uint8Array(large.length);
  bench('copy of 1 MiB', () => {
    target.set(large);
  });
  const decoder = new FrameDecoder({ place: 'outside', sealed: true });
  bench('1 MiB in DATA frames of 64 KiB', () => {
    drain(decoder, large);
  });
});

describe('frames parsed, by the number of streams they belong to', () => {
  for (const streams of [1, 100, 10_000]) {
    const frames = Buffer.concat(
      Array.from({ length: 10_000 }, (_, i) => [
        encodeDataHead(2 * (i % streams) + 1, false, 16),
        new Uint8Array(16),
      ]).flat(),
    );
    const decoder = new FrameDecoder({ place: 'outside', sealed: true });
    bench(`10,000 DATA frames of 16 bytes, ${streams} streams`, () => {
      drain(decoder, frames);
    });
  }
});

describe('frames written', () => {
  bench('DATA head', () => {
    encodeDataHead(1, false, CHUNK);
  });
  bench('WINDOW_UPDATE', () => {
    encodeControl({ type: 'window-update', streamId: 1, delta: 1 });
  });
});
