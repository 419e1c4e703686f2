import fc from 'fast-check';
import { type Place, type ReferenceFrame, referenceEncode } from './reference-codec.ts';

export const uint = (bits: number) => fc.integer({ min: 0, max: 2 ** bits - 1 });
const streamId = fc.integer({ min: 1, max: 2 ** 31 - 1 });
const keyId = fc.integer({ min: 1, max: 255 });
const count = fc.maxSafeNat();
const flag = fc.boolean();
const hexOf = (min: number, max: number) =>
  fc.uint8Array({ minLength: min, maxLength: max }).map((bytes) => Buffer.from(bytes).toString('hex'));
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

/** Any frame that a correct sender can make in a place, as the reference codec has it. */
export const FRAMES: Record<Place, fc.Arbitrary<ReferenceFrame>> = {
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
    frame('front-nego', {
      digest: hexOf(32, 32),
      frame: NEGO.map((nego) => referenceEncode(nego).toString('hex')),
    }),
    frame('front-sent', { keyId, digest: hexOf(32, 32) }),
  ),
};

export const PLACES: readonly Place[] = ['outside', 'inside', 'link'];
