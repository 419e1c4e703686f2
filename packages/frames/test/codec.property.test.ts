import fc from 'fast-check';
import { expect, test } from 'vitest';
import {
  type Place,
  type ReferenceFrame,
  referenceDecode,
  referenceEncode,
} from '../../../test/support/reference-codec.ts';
import { encodeControl, encodeDataHead, encodeSealedHead } from '../src/index.ts';
import { bytes, decode, fromPlain, hex } from './support.ts';

const uint = (bits: number) => fc.integer({ min: 0, max: 2 ** bits - 1 });
const streamId = fc.integer({ min: 1, max: 2 ** 31 - 1 });
const keyId = fc.integer({ min: 1, max: 255 });
const count = fc.maxSafeNat();
const flag = fc.boolean();
const hexOf = (min: number, max: number) => fc.uint8Array({ minLength: min, maxLength: max }).map(hex);
const frame = (type: string, fields: Record<string, fc.Arbitrary<unknown>>): fc.Arbitrary<ReferenceFrame> =>
  fc.record({ type: fc.constant(type), ...fields }) as fc.Arbitrary<ReferenceFrame>;

const window = fc.integer({ min: 2 ** 16, max: 2 ** 31 - 1 });

const NEGO = fc.oneof(
  frame('key-nego', {
    keyId,
    algorithm: uint(8),
    fin: flag,
    reject: fc.constant(false),
    retire: fc.constant(false),
    renegotiate: flag,
    data: hexOf(0, 500),
  }),
  frame('key-nego', {
    keyId,
    algorithm: uint(8),
    fin: fc.constant(true),
    reject: flag,
    retire: fc.constant(false),
    renegotiate: fc.constant(false),
    data: hexOf(0, 50),
  }),
);

/** What may stand on a link too. */
const OF_SESSION: fc.Arbitrary<ReferenceFrame>[] = [
  frame('settings', {
    clear: flag,
    entries: fc.uniqueArray(fc.record({ flags: uint(2), id: uint(24), value: uint(32) }), {
      maxLength: 64,
      selector: (entry) => entry.id,
    }),
  }),
  frame('ping', { id: uint(32) }),
  frame('goaway', { lastGoodId: uint(31), status: uint(32) }),
  NEGO,
];

const SPDY: fc.Arbitrary<ReferenceFrame>[] = [
  frame('syn-stream', {
    streamId,
    associatedId: uint(31),
    priority: uint(3),
    slot: uint(8),
    fin: flag,
    unidirectional: flag,
    payloadOutside: fc.constant(false),
    block: hexOf(0, 300),
  }),
  frame('syn-reply', { streamId, fin: flag, block: hexOf(0, 300) }),
  frame('headers', { streamId, fin: flag, block: hexOf(0, 300) }),
  frame('rst-stream', { streamId, status: fc.integer({ min: 1, max: 2 ** 32 - 1 }) }),
  frame('window-update', { streamId: uint(31), delta: fc.integer({ min: 1, max: 2 ** 31 - 1 }) }),
  frame('data', { streamId, fin: flag, payload: hexOf(0, 2_000) }),
  ...OF_SESSION,
];

const FRAMES: Record<Place, fc.Arbitrary<ReferenceFrame>> = {
  outside: fc.oneof(
    ...SPDY,
    frame('key-gone', { keyId, status: uint(32) }),
    frame('sealed', { keyId, generation: uint(8), body: hexOf(24, 3_000) }),
  ),
  inside: fc.oneof(
    ...SPDY,
    frame('key-switch', {
      streamId: uint(31),
      previousKeyId: uint(8),
      previousGeneration: uint(8),
      count,
      digest: hexOf(32, 32),
    }),
    frame('stream-end', { streamId, total: count }),
    frame('key-update', { count }),
  ),
  link: fc.oneof(
    ...OF_SESSION,
    frame('sealed', { keyId, generation: uint(8), body: hexOf(24, 3_000) }),
    frame('front-hello', {
      address: fc.stringMatching(/^[0-9a-f.:]{0,40}$/),
      port: uint(16),
      maxConcurrentStreams: uint(32),
      streamWindow: window,
      keyWindow: window,
    }),
    frame('front-nego', { digest: hexOf(32, 32), frame: NEGO.map((nego) => hex(referenceEncode(nego))) }),
    frame('front-sent', { keyId, digest: hexOf(32, 32) }),
  ),
};

const PLACES: Place[] = ['outside', 'inside', 'link'];

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

test.each(PLACES)('%s: whatever the bytes are, both codecs say the same', (place) => {
  const mutation = fc.record({ at: fc.nat(), value: uint(8) });
  const input = fc
    .tuple(
      fc.array(FRAMES[place], { minLength: 1, maxLength: 4 }),
      fc.array(mutation, { minLength: 1, maxLength: 3 }),
    )
    .map(([frames, mutations]) => {
      const data = Buffer.concat(frames.map(encode));
      // Most of what can be wrong is wrong in the first bytes.
      for (const { at, value } of mutations) data[at % Math.min(data.length, 40)] = value;
      return data;
    });
  fc.assert(
    fc.property(input, flag, fc.infiniteStream(uint(9)), (data, keymux, sizes) => {
      const expected = referenceDecode(data, place, keymux);
      expect(decode([data], { place, sealed: keymux })).toEqual(expected);
      expect(decode(cut(data, sizes), { place, sealed: keymux })).toEqual(expected);
    }),
    { numRuns: 3_000 },
  );
});

test.each(PLACES)('%s: noise never does anything but fail or wait', (place) => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 200 }), flag, (data, keymux) => {
      expect(decode([data], { place, sealed: keymux })).toEqual(referenceDecode(data, place, keymux));
    }),
    { numRuns: 1_000 },
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
