import { describe, expect, test } from 'vitest';
import {
  type ControlFrame,
  encodeControl,
  encodeDataHead,
  encodeSealedHead,
  type KeyNego,
  type KeySwitch,
  type SynStream,
  settingOf,
} from '../src/index.ts';
import { refusal } from './support.ts';

const SYN: SynStream = {
  type: 'syn-stream',
  streamId: 1,
  associatedId: 0,
  priority: 0,
  slot: 0,
  fin: false,
  unidirectional: false,
  payloadOutside: false,
  block: new Uint8Array(4),
};
const NEGO: KeyNego = {
  type: 'key-nego',
  keyId: 1,
  algorithm: 1,
  fin: false,
  reject: false,
  retire: false,
  data: new Uint8Array(0),
};
const SWITCH: KeySwitch = {
  type: 'key-switch',
  streamId: 1,
  previousKeyId: 0,
  previousGeneration: 0,
  count: 0,
  digest: new Uint8Array(32),
};
const entry = (id: number) => ({ id, value: 0, flags: 0 });

const WRONG: [string, ControlFrame][] = [
  ['SYN_STREAM stream ID 0', { ...SYN, streamId: 0 }],
  ['SYN_STREAM stream ID 2^31', { ...SYN, streamId: 2 ** 31 }],
  ['SYN_STREAM stream ID -1', { ...SYN, streamId: -1 }],
  ['SYN_STREAM stream ID 1.5', { ...SYN, streamId: 1.5 }],
  ['SYN_STREAM stream ID NaN', { ...SYN, streamId: Number.NaN }],
  ['SYN_STREAM associated ID 2^31', { ...SYN, associatedId: 2 ** 31 }],
  ['SYN_STREAM priority 8', { ...SYN, priority: 8 }],
  ['SYN_STREAM slot 256', { ...SYN, slot: 256 }],
  ['SYN_STREAM in the clear with payloadOutside', { ...SYN, payloadOutside: true }],
  ['SYN_STREAM block over the limit', { ...SYN, block: new Uint8Array(65_537) }],
  ['SYN_REPLY stream ID 0', { type: 'syn-reply', streamId: 0, fin: false, block: new Uint8Array(4) }],
  [
    'SYN_REPLY block over the limit',
    { type: 'syn-reply', streamId: 1, fin: false, block: new Uint8Array(65_543) },
  ],
  ['HEADERS stream ID 2^31', { type: 'headers', streamId: 2 ** 31, fin: false, block: new Uint8Array(4) }],
  [
    'HEADERS block over the limit',
    { type: 'headers', streamId: 1, fin: false, block: new Uint8Array(65_543) },
  ],
  ['RST_STREAM stream ID 0', { type: 'rst-stream', streamId: 0, status: 1 }],
  ['RST_STREAM status 0', { type: 'rst-stream', streamId: 1, status: 0 }],
  ['RST_STREAM status 2^32', { type: 'rst-stream', streamId: 1, status: 2 ** 32 }],
  [
    'SETTINGS 65 entries',
    { type: 'settings', clear: false, entries: Array.from({ length: 65 }, (_, i) => entry(i)) },
  ],
  ['SETTINGS one ID twice', { type: 'settings', clear: false, entries: [entry(4), entry(4)] }],
  ['SETTINGS ID 2^24', { type: 'settings', clear: false, entries: [entry(2 ** 24)] }],
  ['SETTINGS value 2^32', { type: 'settings', clear: false, entries: [{ ...entry(4), value: 2 ** 32 }] }],
  ['SETTINGS entry flags 4', { type: 'settings', clear: false, entries: [{ ...entry(4), flags: 4 }] }],
  ['PING ID 2^32', { type: 'ping', id: 2 ** 32 }],
  ['PING ID -1', { type: 'ping', id: -1 }],
  ['GOAWAY last good ID 2^31', { type: 'goaway', lastGoodId: 2 ** 31, status: 0 }],
  ['GOAWAY status -1', { type: 'goaway', lastGoodId: 0, status: -1 }],
  ['WINDOW_UPDATE delta 0', { type: 'window-update', streamId: 1, delta: 0 }],
  ['WINDOW_UPDATE delta 2^31', { type: 'window-update', streamId: 1, delta: 2 ** 31 }],
  ['WINDOW_UPDATE stream ID 2^31', { type: 'window-update', streamId: 2 ** 31, delta: 1 }],
  ['KEY_NEGO key ID 0', { ...NEGO, keyId: 0 }],
  ['KEY_NEGO key ID 256', { ...NEGO, keyId: 256 }],
  ['KEY_NEGO ALG_ID 256', { ...NEGO, algorithm: 256 }],
  ['KEY_NEGO data over the limit', { ...NEGO, data: new Uint8Array(8_193) }],
  ['KEY_NEGO reject without fin', { ...NEGO, reject: true }],
  ['KEY_NEGO retire without fin', { ...NEGO, retire: true }],
  ['KEY_NEGO reject and retire', { ...NEGO, fin: true, reject: true, retire: true }],
  ['KEY_SWITCH stream ID 2^31', { ...SWITCH, streamId: 2 ** 31 }],
  ['KEY_SWITCH previous key ID 256', { ...SWITCH, previousKeyId: 256 }],
  ['KEY_SWITCH previous generation 256', { ...SWITCH, previousGeneration: 256 }],
  ['KEY_SWITCH count 2^53', { ...SWITCH, count: 2 ** 53 }],
  ['KEY_SWITCH short digest', { ...SWITCH, digest: new Uint8Array(31) }],
  ['KEY_SWITCH long digest', { ...SWITCH, digest: new Uint8Array(33) }],
  ['STREAM_END stream ID 0', { type: 'stream-end', streamId: 0, total: 0 }],
  ['STREAM_END total -1', { type: 'stream-end', streamId: 1, total: -1 }],
  ['STREAM_END total 2^53', { type: 'stream-end', streamId: 1, total: 2 ** 53 }],
  ['KEY_UPDATE count 0.5', { type: 'key-update', count: 0.5 }],
  ['PADDING length -1', { type: 'padding', length: -1 }],
  ['PADDING larger than an envelope', { type: 'padding', length: 66_553 }],
  ['a frame of an unknown type', { type: 'unknown', code: 99, flags: 0, length: 0 }],
];

describe('a wrong field is a usage error, and no bytes', () => {
  test.each(WRONG)('%s', (_name, frame) => {
    expect(refusal(() => encodeControl(frame))).toMatchObject({
      scope: 'usage',
      code: 'ERR_KEYMUX_FRAME_FIELD',
    });
  });

  test.each([
    ['DATA stream ID 0', () => encodeDataHead(0, false, 0)],
    ['DATA stream ID 2^31', () => encodeDataHead(2 ** 31, false, 0)],
    ['DATA length 2^24', () => encodeDataHead(1, false, 2 ** 24)],
    ['DATA length -1', () => encodeDataHead(1, false, -1)],
    ['SEALED key ID 0', () => encodeSealedHead(0, 0, 100)],
    ['SEALED key ID 256', () => encodeSealedHead(256, 0, 100)],
    ['SEALED generation 256', () => encodeSealedHead(1, 256, 100)],
    ['SEALED without room for a frame', () => encodeSealedHead(1, 0, 23)],
    ['SEALED over the limit', () => encodeSealedHead(1, 0, 66_577)],
  ])('%s', (_name, encode) => {
    expect(refusal(encode)).toMatchObject({ scope: 'usage', code: 'ERR_KEYMUX_FRAME_FIELD' });
  });
});

describe('the largest that is allowed is encoded', () => {
  test.each<[string, ControlFrame, number]>([
    ['SYN_STREAM', { ...SYN, block: new Uint8Array(65_536) }, 65_546],
    ['SYN_REPLY', { type: 'syn-reply', streamId: 1, fin: false, block: new Uint8Array(65_542) }, 65_546],
    ['KEY_NEGO', { ...NEGO, data: new Uint8Array(8_192) }, 8_196],
    ['PADDING', { type: 'padding', length: 66_552 }, 66_552],
  ])('%s', (_name, frame, length) => {
    const encoded = encodeControl(frame);
    expect(encoded.length).toBe(8 + length);
    expect(encoded.buffer.byteLength).toBe(encoded.length);
  });

  test('heads of DATA and SEALED', () => {
    expect([...encodeDataHead(0x7fff_ffff, true, 0xff_ffff)]).toEqual([
      0x7f, 255, 255, 255, 1, 255, 255, 255,
    ]);
    expect([...encodeSealedHead(255, 255, 66_576)]).toEqual([0x80, 3, 0, 0x53, 0, 1, 0x04, 0x12, 255, 255]);
  });
});

test('of two SETTINGS entries with one ID the first counts', () => {
  const entries = [
    { id: 4, value: 100, flags: 0 },
    { id: 4, value: 1, flags: 0 },
  ];
  const frame = { type: 'settings', clear: false, entries } as const;
  expect(settingOf(frame, 4)).toBe(100);
  expect(settingOf(frame, 7)).toBeUndefined();
});
