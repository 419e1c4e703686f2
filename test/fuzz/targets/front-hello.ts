import { PassThrough } from 'node:stream';
import fc from 'fast-check';
import { FRAMES, uint } from '../../support/frame-arbitraries.ts';
import { referenceDecode, referenceEncode } from '../../support/reference-codec.ts';
import { CUTS, cut, DAMAGE, damaged, mustEqual } from '../checks.ts';
import { readFrontHello } from '../internals.ts';
import { target } from '../target.ts';

interface Case {
  readonly bytes: Uint8Array;
  readonly cuts: readonly number[];
}

const window = fc.integer({ min: 2 ** 16, max: 2 ** 31 - 1 });
const hello = fc.record({
  type: fc.constant('front-hello'),
  address: fc.stringMatching(/^[0-9a-f.:]{0,40}$/),
  port: uint(16),
  maxConcurrentStreams: uint(32),
  streamWindow: window,
  keyWindow: window,
});

/** The first frame of a link is a FRONT_HELLO, and what follows stays where it is; or it is none, and nothing else happens. */
export const frontHello = target<Case>({
  name: 'front-hello',
  cases: fc.record({
    bytes: fc
      .tuple(
        fc.oneof({ weight: 4, arbitrary: hello }, FRAMES.link),
        fc.array(FRAMES.link, { maxLength: 2 }),
        fc.oneof(fc.constant([]), fc.array(DAMAGE, { maxLength: 2 })),
      )
      .map(([first, rest, damage]) => damaged(Buffer.concat([first, ...rest].map(referenceEncode)), damage)),
    cuts: CUTS,
  }),
  check: async ({ bytes, cuts }) => {
    const length = bytes.length < 8 ? Number.POSITIVE_INFINITY : 8 + Buffer.from(bytes).readUIntBE(5, 3);
    const alone = referenceDecode(bytes.subarray(0, length), 'link', false);
    const expected = alone.frames[0]?.type === 'front-hello' ? alone.frames[0] : undefined;

    const link = new PassThrough();
    const answer = readFrontHello(link, 60_000);
    for (const piece of cut(bytes, cuts)) {
      link.write(piece);
      await new Promise(setImmediate);
    }
    link.end();
    const frame = await answer;
    mustEqual(frame && { ...frame }, expected, 'the first frame');
    if (frame === undefined) return;
    const rest: Buffer[] = [];
    for await (const piece of link) rest.push(piece as Buffer);
    mustEqual(Buffer.concat(rest).equals(bytes.subarray(length)), true, 'the rest is left where it was');
  },
  runs: 100,
});
