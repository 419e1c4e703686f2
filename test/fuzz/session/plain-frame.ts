import { SETTING } from '@keymux/frames';
import fc from 'fast-check';
import { HEADERS, type ScriptFrame } from '../../support/scripted-peer.ts';
import { pick } from '../checks.ts';

/** A frame as plain data; fields that its type does not have are left out when it is sent. */
export interface PlainFrame {
  readonly type: number;
  readonly stream: number;
  readonly number: number;
  readonly id: number;
  readonly flag: boolean;
  readonly other: boolean;
  readonly block: number;
}

/** Keys that a script names; 0 is none. */
export const KEYS = [0, 1, 2, 3];
const NUMBERS = [0, 1, 7, 1000, 65_535, 65_536, 65_537, 262_144, 2 ** 31 - 1, 2 ** 31, 2 ** 32 - 1];
const IDS = [...Object.values(SETTING), 1, 2, 99];
const BLOCKS: readonly { headers?: typeof HEADERS; block?: Uint8Array }[] = [
  { headers: HEADERS },
  { headers: [[':status', '200']] },
  { headers: [] },
  { headers: [['x-long', 'y'.repeat(60_000)]] },
  { block: Uint8Array.of(0, 0) },
  { block: Uint8Array.of(0, 0, 0, 1, 0, 0, 0, 1, 65, 0, 0, 0, 0) },
  { block: new Uint8Array(65_500).fill(255) },
];

const small = fc.oneof({ weight: 5, arbitrary: fc.nat(8) }, fc.constantFrom(2 ** 31 - 1, 1001));
export const PLAIN_FRAMES: fc.Arbitrary<PlainFrame> = fc.record({
  type: fc.nat(40),
  stream: small,
  number: fc.oneof(fc.nat(NUMBERS.length - 1), fc.nat(10_000)),
  id: fc.nat(20),
  flag: fc.boolean(),
  other: fc.boolean(),
  block: fc.oneof({ weight: 8, arbitrary: fc.nat(1) }, fc.nat(BLOCKS.length - 1)),
});

/** The frame that is meant, whether or not it can be written. */
export function toScriptFrame(made: PlainFrame): ScriptFrame {
  const { stream: streamId, flag: fin, other, id } = made;
  const number = NUMBERS[made.number] ?? Math.abs(made.number);
  const block = pick(BLOCKS, made.block) as (typeof BLOCKS)[number];
  const digest = new Uint8Array(32);
  const keyId = pick(KEYS, id) as number;
  switch (Math.abs(made.type) % 30) {
    case 0:
    case 1:
    case 2:
      return {
        type: 'syn-stream',
        streamId,
        fin,
        unidirectional: other,
        slot: other ? keyId : 0,
        ...block,
      };
    case 3:
    case 4:
      return { type: 'syn-stream', streamId, slot: keyId, payloadOutside: other, ...block };
    case 5:
    case 6:
    case 7:
      return { type: 'syn-reply', streamId, fin, ...block };
    case 8:
      return { type: 'headers', streamId, fin, ...block };
    case 9:
      return { type: 'rst-stream', streamId, status: number };
    case 10:
    case 11: {
      const entry = { id: pick(IDS, id) as number, value: number, flags: other ? 1 : 0 };
      return { type: 'settings', clear: fin, entries: fin ? [entry, entry] : [entry] };
    }
    case 12:
      return { type: 'ping', id };
    case 13:
      return { type: 'goaway', lastGoodId: streamId, status: other ? number : 0 };
    case 14:
    case 15:
      return { type: 'window-update', streamId, delta: number };
    case 16:
      return { type: 'window-update', streamId: 0, delta: number };
    case 17: {
      const data = new Uint8Array(id);
      // What makes keys, the handshake target sends.
      return { type: 'key-nego', keyId: id, algorithm: 9, fin: true, reject: false, retire: true, data };
    }
    case 18:
      return { type: 'key-switch', streamId, previousKeyId: 0, previousGeneration: 0, count: id, digest };
    case 19:
      return { type: 'stream-end', streamId, total: number };
    case 20:
      return { type: 'key-update', count: id };
    case 21:
      return { type: 'key-gone', keyId, status: number };
    case 22:
      return { type: 'padding', length: number % 1000 };
    case 23:
      return { type: 'raw', bytes: Uint8Array.of(128, 3, 0, id, 0, 0, 0, 1, 7) };
    default:
      return { type: 'data', streamId, fin, payload: new Uint8Array(number % 70_000) };
  }
}
