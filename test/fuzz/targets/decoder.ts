import { FrameDecoder, FrameError, type Item } from '@keymux/frames';
import fc from 'fast-check';
import { FRAMES, PLACES } from '../../support/frame-arbitraries.ts';
import { type Place, referenceDecode, referenceEncode } from '../../support/reference-codec.ts';
import { CUTS, cut, DAMAGE, damaged, hex, must, mustEqual } from '../checks.ts';
import { target } from '../target.ts';

interface Case {
  readonly place: number;
  readonly keymux: boolean;
  readonly bytes: Uint8Array;
  readonly cuts: readonly number[];
}

/** More than a decoder can hold of a frame that it has not refused: the longest one of a type that is kept whole. */
const MOST_HELD = 66_600;

const bytesIn = (place: Place): fc.Arbitrary<Uint8Array> =>
  fc.oneof(
    {
      weight: 4,
      arbitrary: fc
        .tuple(fc.array(FRAMES[place], { minLength: 1, maxLength: 5 }), fc.array(DAMAGE, { maxLength: 3 }))
        .map(([frames, damage]) => damaged(Buffer.concat(frames.map(referenceEncode)), damage)),
    },
    { weight: 1, arbitrary: fc.uint8Array({ maxLength: 200 }) },
  );

/** The decoder says what the naive one says, frame by frame and in its refusal, however the bytes are cut. */
export const decoder = target<Case>({
  name: 'decoder',
  cases: fc.nat(PLACES.length - 1).chain((place) =>
    fc.record({
      place: fc.constant(place),
      keymux: fc.boolean(),
      bytes: bytesIn(PLACES[place] as Place),
      cuts: CUTS,
    }),
  ),
  check: ({ place: index, keymux, bytes, cuts }) => {
    const place = PLACES[Math.abs(index) % PLACES.length] as Place;
    const expected = referenceDecode(bytes, place, keymux);
    mustEqual(decode([Uint8Array.from(bytes)], place, keymux), expected, 'in one piece');
    if (place !== 'inside' || !bytes.includes(0x50)) {
      // An envelope comes whole, so that what stands behind PADDING is seen.
      mustEqual(decode(cut(bytes, cuts), place, keymux), expected, 'in pieces');
    }
  },
  runs: 1_500,
});

type Plain = { type: string } & Record<string, unknown>;

function decode(chunks: readonly Uint8Array[], place: Place, sealed: boolean) {
  const made = new FrameDecoder({ place, sealed });
  const frames: Plain[] = [];
  try {
    for (const chunk of chunks) {
      made.push(chunk);
      for (let item = made.next(); item !== undefined; item = made.next()) collect(item, frames);
      must(made.buffered <= MOST_HELD, `${made.buffered} bytes are held`);
    }
  } catch (error) {
    if (!(error instanceof FrameError)) throw error;
    // A frame of which a part was handed out before is not there as a whole; the naive decoder knows no parts.
    if (frames.at(-1)?.partial) frames.pop();
    return { frames, error: { scope: error.scope, status: error.status }, midFrame: false };
  }
  if (frames.at(-1)?.partial) frames.pop();
  return { frames, midFrame: made.midFrame };
}

function collect(item: Item, frames: Plain[]): void {
  if (item.kind === 'control') {
    const fields = Object.entries(item.frame).map(([name, value]) => [
      name,
      value instanceof Uint8Array ? hex(value) : value,
    ]);
    frames.push(Object.fromEntries(fields) as Plain);
  } else if (item.kind === 'sealed') {
    const { keyId, generation } = item;
    frames.push({ type: 'sealed', keyId, generation, body: hex(item.body) });
  } else {
    const { streamId, fin, payload, first, last } = item;
    const begun = first ? undefined : frames.pop();
    const joined = `${(begun?.payload as string | undefined) ?? ''}${hex(payload)}`;
    const frame: Plain = { type: 'data', streamId, fin, payload: joined };
    frames.push(last ? frame : { ...frame, partial: true });
  }
}
