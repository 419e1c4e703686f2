import fc from 'fast-check';
import { expect, test } from 'vitest';
import { FRAMES, PLACES, uint } from '../../../test/support/frame-arbitraries.ts';
import { type ReferenceFrame, referenceEncode } from '../../../test/support/reference-codec.ts';
import { encodeControl, encodeDataHead, encodeSealedHead } from '../src/index.ts';
import { bytes, decode, fromPlain, hex } from './support.ts';

// What the decoder makes of bytes that no sender makes, test/fuzz compares.

test.each(PLACES)('%s: any frame is encoded as the reference codec encodes it', (place) => {
  fc.assert(
    fc.property(FRAMES[place], (frame) => {
      expect(hex(encode(frame))).toBe(hex(referenceEncode(frame)));
    }),
    { numRuns: 1_000 },
  );
});

test.each(PLACES)('%s: any frames in any chunks come out as they went in', (place) => {
  fc.assert(
    fc.property(fc.array(FRAMES[place], { maxLength: 10 }), fc.infiniteStream(uint(9)), (frames, sizes) => {
      const chunks = cut(Buffer.concat(frames.map(encode)), sizes);
      expect(decode(chunks, { place, sealed: true })).toEqual({ frames, midFrame: false });
    }),
    { numRuns: 300 },
  );
});

function encode(frame: ReferenceFrame): Uint8Array {
  if (frame.type === 'data') {
    const { streamId, fin, payload } = frame as unknown as {
      streamId: number;
      fin: boolean;
      payload: string;
    };
    return Buffer.concat([encodeDataHead(streamId, fin, payload.length / 2), bytes(payload)]);
  }
  if (frame.type === 'sealed') {
    const { keyId, generation, body } = frame as unknown as {
      keyId: number;
      generation: number;
      body: string;
    };
    return Buffer.concat([encodeSealedHead(keyId, generation, body.length / 2), bytes(body)]);
  }
  return encodeControl(fromPlain(frame));
}

function cut(data: Uint8Array, sizes: Iterator<number>): Uint8Array[] {
  const chunks: Uint8Array[] = [];
  for (let at = 0; at < data.length; ) {
    const size = 1 + (sizes.next().value as number);
    chunks.push(data.slice(at, at + size));
    at += size;
  }
  return chunks;
}
