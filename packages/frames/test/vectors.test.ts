import { readFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { referenceDecode, referenceEncode } from '../../../test/support/reference-codec.ts';
import {
  decodeHeaderBlock,
  encodeControl,
  encodeDataHead,
  encodeHeaderBlock,
  encodeSealedHead,
  HeaderDecompressor,
  type Place,
} from '../src/index.ts';
import { bytes, decode, fromPlain, hex, type PlainFrame, refusal } from './support.ts';

interface FrameVector {
  name: string;
  section: string;
  place: Place;
  keymux: boolean;
  hex: string;
  expect: 'frame' | 'session-error';
  frame?: PlainFrame;
  reencodes?: false;
  status?: number;
  reason?: string;
}

interface BlockVector {
  name: string;
  hex: string;
  expect: 'headers' | 'stream-error';
  headers?: [string, string][];
  status?: number;
}

interface CompressionVector {
  name: string;
  blocks: string[];
  expect: 'blocks' | 'session-error';
  plain?: string[];
  status?: number;
}

const vectors: { frames: FrameVector[]; headerBlocks: BlockVector[]; compression: CompressionVector[] } =
  JSON.parse(readFileSync(new URL('../../../spec/vectors/frames.json', import.meta.url), 'utf8'));

describe('frames', () => {
  test.each(vectors.frames)('$section $name', (vector) => {
    const outcome = decode([bytes(vector.hex)], { place: vector.place, sealed: vector.keymux });
    expect(outcome).toEqual(expectedOutcome(vector, outcome.frames));
  });

  // Bytes behind PADDING can only be seen if they are there: an envelope is pushed whole.
  const splittable = vectors.frames.filter((vector) => !vector.reason?.endsWith('follows'));

  test.each(splittable)('$section $name: byte by byte', (vector) => {
    const chunks = [...bytes(vector.hex)].map((byte) => Uint8Array.of(byte));
    const outcome = decode(chunks, { place: vector.place, sealed: vector.keymux });
    expect(outcome).toEqual(expectedOutcome(vector, outcome.frames));
  });

  test.each(vectors.frames)('$section $name: the reference codec agrees', (vector) => {
    const outcome = referenceDecode(bytes(vector.hex), vector.place, vector.keymux);
    expect(outcome).toEqual(expectedOutcome(vector, outcome.frames));
  });

  test.each(vectors.frames.filter((vector) => vector.frame && vector.reencodes !== false))(
    '$section $name: encoded',
    (vector) => {
      const frame = vector.frame as PlainFrame;
      expect(hex(encode(frame))).toBe(vector.hex);
      expect(hex(referenceEncode(frame))).toBe(vector.hex);
    },
  );

  test('there are more refusals than successes', () => {
    const refusals = vectors.frames.filter((vector) => vector.expect !== 'frame');
    expect(refusals.length * 2).toBeGreaterThan(vectors.frames.length);
  });
});

describe('header blocks', () => {
  test.each(vectors.headerBlocks)('$name', (vector) => {
    if (vector.expect === 'headers') {
      expect(decodeHeaderBlock(bytes(vector.hex))).toEqual(vector.headers);
      expect(hex(encodeHeaderBlock(vector.headers ?? []))).toBe(vector.hex);
    } else {
      expect(refusal(() => decodeHeaderBlock(bytes(vector.hex)))).toMatchObject({
        scope: 'stream',
        status: vector.status,
      });
    }
  });
});

describe('header compression', () => {
  test.each(vectors.compression)('$name', (vector) => {
    const decompressor = new HeaderDecompressor();
    if (vector.expect === 'blocks') {
      expect(vector.blocks.map((block) => hex(decompressor.decompress(bytes(block))))).toEqual(vector.plain);
      return;
    }
    for (const block of vector.blocks.slice(0, -1)) decompressor.decompress(bytes(block));
    const last = bytes(vector.blocks.at(-1) as string);
    expect(refusal(() => decompressor.decompress(last))).toMatchObject({
      scope: 'session',
      status: vector.status,
    });
  });
});

/** Frames before a session error are not the point of a vector, so they are taken as they came. */
function expectedOutcome(vector: FrameVector, framesBefore: readonly object[]): object {
  const { status } = vector;
  switch (vector.expect) {
    case 'frame':
      return { frames: [vector.frame], midFrame: false };
    case 'session-error':
      return { frames: framesBefore, error: { scope: 'session', status }, midFrame: false };
  }
}

function encode(frame: PlainFrame): Uint8Array {
  if (frame.type === 'data') {
    const payload = bytes(frame.payload as string);
    return join(encodeDataHead(frame.streamId as number, frame.fin as boolean, payload.length), payload);
  }
  if (frame.type === 'sealed') {
    const body = bytes(frame.body as string);
    return join(encodeSealedHead(frame.keyId as number, frame.generation as number, body.length), body);
  }
  return encodeControl(fromPlain(frame));
}

function join(head: Uint8Array, rest: Uint8Array): Uint8Array {
  return new Uint8Array(Buffer.concat([head, rest]));
}
