import { describe, expect, test } from 'vitest';
import { referenceDecode } from '../../../test/support/reference-codec.ts';
import { encodeDataHead, encodeSealedHead, FrameDecoder, type Item } from '../src/index.ts';
import { bytes, decode, hex, refusal } from './support.ts';

const PING = '80030006 00 000004 00000001';
const DATA = '00000001 01 000003 616263';
const SEALED = `80030053 00 00001a 01 00 ${'11'.repeat(24)}`;

/** Every shape of frame that a carrier can bring. */
const OUTSIDE = bytes(
  [
    '80030004 00 00000c 00000001 00 4b4d58 00000006',
    '80030001 01 00000e 00000001 00000000 60 00 deadbeef',
    DATA,
    '00000003 00 000000',
    SEALED,
    '8003004b 01 000007 01 02 0003 aabbcc',
    '8003f000 00 000003 616263',
    '80030009 00 000008 00000003 00000001',
    `00000003 00 000010 ${'00'.repeat(16)}`,
    '80030007 00 000008 00000005 00000000',
  ].join(''),
);

const INSIDE = bytes(
  [
    `80030054 00 000030 00000001 00 00 0000 0000000000000001 ${'ab'.repeat(32)}`,
    DATA,
    '80030055 00 00000c 00000001 0000000000000003',
    '80030050 00 000003 000000',
  ].join(''),
);

describe('split input', () => {
  const whole = decode([OUTSIDE], { place: 'outside', sealed: true });

  test('the stream as a whole is what the reference codec says', () => {
    expect(whole).toEqual(referenceDecode(OUTSIDE, 'outside', true));
    expect(whole.frames).toHaveLength(10);
  });

  test('in two chunks, at every point', () => {
    for (let at = 0; at <= OUTSIDE.length; at++) {
      const chunks = [OUTSIDE.subarray(0, at), OUTSIDE.subarray(at)];
      expect(decode(chunks, { place: 'outside', sealed: true }), `split at ${at}`).toEqual(whole);
    }
  });

  test('in chunks of every size', () => {
    for (let size = 1; size <= 40; size++) {
      expect(decode(inChunks(OUTSIDE, size), { place: 'outside', sealed: true }), `size ${size}`).toEqual(
        whole,
      );
    }
  });

  test('all chunks pushed before the first item is taken', () => {
    for (const size of [1, 7, 8, 9]) {
      const decoder = new FrameDecoder({ place: 'outside', sealed: true });
      for (const chunk of inChunks(OUTSIDE, size)) decoder.push(chunk);
      const frames = items(decoder).filter((item) => item.kind !== 'data' || item.last);
      expect(frames).toHaveLength(10);
    }
  });

  test('an envelope in chunks, pushed before the first item is taken', () => {
    for (let size = 1; size <= INSIDE.length; size++) {
      const decoder = new FrameDecoder({ place: 'inside' });
      for (const chunk of inChunks(INSIDE, size)) decoder.push(chunk);
      const types = items(decoder).map((item) => (item.kind === 'control' ? item.frame.type : item.kind));
      expect([...new Set(types)]).toEqual(['key-switch', 'data', 'stream-end', 'padding']);
      expect(decoder.midFrame).toBe(false);
    }
  });

  test('cut at every point: midFrame tells whether a frame is missing bytes', () => {
    const ends = new Set([0]);
    for (let end = 1; end <= OUTSIDE.length; end++) {
      const { midFrame } = referenceDecode(OUTSIDE.subarray(0, end), 'outside', true);
      if (!midFrame) ends.add(end);
    }
    expect(ends.size).toBe(11);
    for (let cut = 0; cut <= OUTSIDE.length; cut++) {
      const decoder = new FrameDecoder({ place: 'outside', sealed: true });
      decoder.push(OUTSIDE.subarray(0, cut));
      items(decoder);
      expect(decoder.midFrame, `cut at ${cut}`).toBe(!ends.has(cut));
    }
  });
});

describe('chunks that are only lent', () => {
  test.each([1, 3, 8, 9, 30, 64, OUTSIDE.length])(
    'in chunks of %i, nothing that is kept changes with them',
    (size) => {
      const decoder = new FrameDecoder({ place: 'outside', sealed: true, lent: true });
      const frames: { item: Item; payload: string }[] = [];
      for (const chunk of inChunks(OUTSIDE, size)) {
        decoder.push(chunk);
        for (const item of items(decoder, lentBytes)) frames.push(item);
        decoder.keep();
        chunk.fill(0xee);
      }
      const owned = new FrameDecoder({ place: 'outside', sealed: true });
      owned.push(OUTSIDE);
      const expected = items(owned, lentBytes);
      const kept = ({ item }: { item: Item }): unknown =>
        item.kind === 'control' ? item : { ...item, body: undefined, payload: undefined };
      const whole = frames.filter(({ item }) => item.kind !== 'data' || item.last);
      expect(whole.map(({ item }) => item.kind)).toEqual(expected.map(({ item }) => item.kind));
      expect(frames.filter(({ item }) => item.kind !== 'data').map(kept)).toEqual(
        expected.filter(({ item }) => item.kind !== 'data').map(kept),
      );
      expect(frames.map(({ payload }) => payload).join('')).toBe(
        expected.map(({ payload }) => payload).join(''),
      );
    },
  );

  test('a Buffer is copied too, though its slices are views', () => {
    const decoder = new FrameDecoder({ place: 'outside', lent: true });
    const chunk = Buffer.from(bytes(PING));
    decoder.push(chunk);
    const item = decoder.next();
    chunk.fill(0xee);
    expect(item?.kind === 'control' && hex(item.bytes)).toBe(PING.replaceAll(' ', ''));
  });

  test('what waits is kept by `keep`, and by nothing else', () => {
    const decoder = new FrameDecoder({ place: 'outside', lent: true });
    const [first, second] = [bytes(DATA), bytes(PING)];
    decoder.push(first);
    decoder.push(second);
    decoder.keep();
    first.fill(0xee);
    second.fill(0xee);
    expect(items(decoder)).toMatchObject([{ kind: 'data', streamId: 1 }, { frame: { type: 'ping', id: 1 } }]);
  });

  test('the body of an envelope in two chunks is in memory that the next one uses again', () => {
    const decoder = new FrameDecoder({ place: 'outside', sealed: true, lent: true });
    const bodies = [1, 2].map((fill) => {
      const body = new Uint8Array(60_000).fill(fill);
      decoder.push(new Uint8Array(Buffer.concat([encodeSealedHead(3, 2, 60_000), body.subarray(0, 30_000)])));
      expect(decoder.next()).toBeUndefined();
      decoder.keep();
      decoder.push(body.subarray(30_000));
      const item = decoder.next();
      if (item?.kind !== 'sealed') throw new Error('no SEALED');
      expect(Buffer.from(item.body).equals(body)).toBe(true);
      decoder.next();
      return item.body.buffer;
    });
    expect(bodies[0]).toBe(bodies[1]);
  });
});

describe('DATA', () => {
  test('is handed out as views, fragment by fragment', () => {
    const first = Uint8Array.from([...encodeDataHead(1, true, 5), 1, 2]);
    const second = Uint8Array.from([3, 4, 5, 9]);
    const decoder = new FrameDecoder({ place: 'outside' });
    decoder.push(first);
    expect(decoder.next()).toEqual({
      kind: 'data',
      streamId: 1,
      fin: false,
      length: 5,
      first: true,
      last: false,
      payload: Uint8Array.of(1, 2),
      head: encodeDataHead(1, true, 5),
    });
    expect(decoder.next()).toBeUndefined();
    expect(decoder.midFrame).toBe(true);
    expect(decoder.buffered).toBe(0);
    decoder.push(second);
    const item = decoder.next();
    expect(item).toMatchObject({ fin: true, first: false, last: true, head: undefined });
    if (item?.kind !== 'data') throw new Error('no DATA');
    expect(item.payload.buffer).toBe(second.buffer);
    expect(hex(item.payload)).toBe('030405');
    expect(decoder.buffered).toBe(1);
  });

  test('a frame without payload is one empty fragment', () => {
    const decoder = new FrameDecoder({ place: 'outside' });
    decoder.push(encodeDataHead(1, true, 0));
    expect(decoder.next()).toMatchObject({ length: 0, fin: true, first: true, last: true });
    expect(decoder.midFrame).toBe(false);
  });

  test('of 16 MiB holds nothing back', () => {
    const decoder = new FrameDecoder({ place: 'outside' });
    decoder.push(encodeDataHead(1, false, 0xff_ffff));
    let received = 0;
    const chunk = new Uint8Array(100_000);
    while (received < 0xff_ffff) {
      decoder.push(chunk.subarray(0, 0xff_ffff - received));
      const item = decoder.next();
      if (item?.kind !== 'data') throw new Error('no DATA');
      expect(decoder.buffered).toBe(0);
      received += item.payload.length;
    }
    expect(decoder.midFrame).toBe(false);
  });
});

describe('control frames', () => {
  test('in one chunk are views into it', () => {
    const chunk = bytes(PING + PING);
    const decoder = new FrameDecoder({ place: 'outside' });
    decoder.push(chunk);
    const found = items(decoder);
    expect(found).toHaveLength(2);
    for (const item of found) {
      if (item.kind !== 'control') throw new Error('no control frame');
      expect(item.bytes.buffer).toBe(chunk.buffer);
      expect(hex(item.bytes)).toBe(PING.replaceAll(' ', ''));
    }
  });

  test('in several chunks are counted until they are whole', () => {
    const decoder = new FrameDecoder({ place: 'outside' });
    const frame = bytes(`80030002 00 000104 00000001 ${'5a'.repeat(256)}`);
    for (const [at, byte] of frame.subarray(0, -1).entries()) {
      decoder.push(Uint8Array.of(byte));
      expect(decoder.next()).toBeUndefined();
      expect(decoder.buffered).toBe(at + 1);
      expect(decoder.midFrame).toBe(true);
    }
    decoder.push(frame.subarray(-1));
    const item = decoder.next();
    expect(item?.kind === 'control' && hex(item.bytes)).toBe(hex(frame));
    expect(decoder.buffered).toBe(0);
  });

  test('have their bytes as received, also with bits that are ignored, also if unknown', () => {
    for (const frame of ['80030009 ff 000008 80000001 80000001', '8003f000 0f 000003 616263']) {
      for (const size of [1, 100]) {
        const decoder = new FrameDecoder({ place: 'outside' });
        for (const chunk of inChunks(bytes(frame), size)) decoder.push(chunk);
        const item = decoder.next();
        expect(item?.kind === 'control' && hex(item.bytes)).toBe(frame.replaceAll(' ', ''));
      }
    }
  });
});

describe('SEALED', () => {
  test('has its head as received, and as its body a view', () => {
    const body = new Uint8Array(60_000).fill(7);
    const chunk = new Uint8Array(Buffer.concat([encodeSealedHead(3, 2, 60_000), body]));
    const decoder = new FrameDecoder({ place: 'outside', sealed: true });
    decoder.push(chunk);
    const item = decoder.next();
    if (item?.kind !== 'sealed') throw new Error('no SEALED');
    expect(hex(item.head)).toBe(hex(encodeSealedHead(3, 2, 60_000)));
    expect(item.body.buffer).toBe(chunk.buffer);
    expect(Buffer.from(item.body).equals(body)).toBe(true);
  });

  test('in two chunks has its body in one piece', () => {
    const body = new Uint8Array(60_000).fill(7);
    const chunks = [
      new Uint8Array(Buffer.concat([encodeSealedHead(3, 2, 60_000), body.subarray(0, 20_000)])),
      body.slice(20_000),
    ];
    const decoder = new FrameDecoder({ place: 'outside', sealed: true });
    decoder.push(chunks[0] as Uint8Array);
    expect(decoder.next()).toBeUndefined();
    expect(decoder.buffered).toBe(20_010);
    decoder.push(chunks[1] as Uint8Array);
    const item = decoder.next();
    if (item?.kind !== 'sealed') throw new Error('no SEALED');
    expect(item).toMatchObject({ keyId: 3, generation: 2 });
    expect(hex(item.head)).toBe(hex(encodeSealedHead(3, 2, 60_000)));
    expect(Buffer.from(item.body).equals(body)).toBe(true);
    expect(decoder.buffered).toBe(0);
  });

  test('in single bytes has its body in one piece', () => {
    const length = 66_576;
    const decoder = new FrameDecoder({ place: 'outside', sealed: true });
    decoder.push(encodeSealedHead(1, 0, length));
    for (let i = 0; i < length; i++) {
      expect(decoder.next()).toBeUndefined();
      decoder.push(Uint8Array.of(i % 251));
    }
    const item = decoder.next();
    if (item?.kind !== 'sealed') throw new Error('no SEALED');
    expect(item.body).toHaveLength(length);
    expect(item.body.every((byte, i) => byte === i % 251)).toBe(true);
  });

  test('is unknown unless keymux was announced', () => {
    const decoder = new FrameDecoder({ place: 'outside' });
    decoder.push(bytes(SEALED));
    expect(decoder.next()).toMatchObject({
      kind: 'control',
      frame: { type: 'unknown', code: 0x53, length: 26 },
    });
  });
});

describe('session errors', () => {
  test('are thrown again by every later call, whatever is pushed', () => {
    const decoder = new FrameDecoder({ place: 'outside' });
    decoder.push(bytes(`${PING}00000000 00 000001 61${PING}`));
    expect(decoder.next()).toMatchObject({ frame: { type: 'ping' } });
    const error = refusal(() => decoder.next());
    decoder.push(bytes(PING));
    expect(refusal(() => decoder.next())).toBe(error);
    expect(decoder.buffered).toBe(0);
  });

  test.each([
    ['SYN_STREAM', '80030001 00 ffffff'],
    ['SETTINGS', '80030004 00 fffffc'],
    ['KEY_NEGO', '8003004b 00 00ffff'],
    ['SEALED', '80030053 00 ffffff'],
    ['an unknown type', '80030063 00 ffffff'],
  ])('a declared length over the limit is refused before the body comes: %s', (_name, head) => {
    const decoder = new FrameDecoder({ place: 'outside', sealed: true });
    decoder.push(bytes(head));
    expect(refusal(() => decoder.next()).scope).toBe('session');
  });

  test('stricter limits can be set', () => {
    const decoder = new FrameDecoder({ place: 'outside', limits: { headerFrameLength: 20 } });
    decoder.push(bytes('80030002 00 000015'));
    expect(refusal(() => decoder.next())).toMatchObject({ code: 'ERR_KEYMUX_FRAME_TOO_LARGE', status: 11 });
  });

  test('messages have no bytes of the peer but numbers', () => {
    const decoder = new FrameDecoder({ place: 'outside', sealed: true });
    decoder.push(bytes('8003004b 00 000006 01 01 0000 7373'));
    const { message } = refusal(() => decoder.next());
    expect(message).toBe('KEY_NEGO with a data length of 0 has 2 bytes of data');
  });
});

describe('one decoder for many envelopes', () => {
  test('PADDING ends one envelope, not the next', () => {
    const decoder = new FrameDecoder({ place: 'inside' });
    for (let i = 0; i < 3; i++) {
      decoder.push(INSIDE);
      expect(items(decoder)).toHaveLength(4);
      expect(decoder.midFrame).toBe(false);
    }
  });
});

test('a hundred thousand chunks of one byte cost what they should', () => {
  const decoder = new FrameDecoder({ place: 'outside' });
  const count = 100_000;
  decoder.push(encodeDataHead(1, false, count));
  for (let i = 0; i < count; i++) decoder.push(Uint8Array.of(1));
  expect(decoder.buffered).toBe(8 + count);
  const start = performance.now();
  expect(items(decoder)).toHaveLength(count);
  // Quadratic work would take a minute; this takes some 50 ms.
  expect(performance.now() - start).toBeLessThan(5_000);
});

/** Every item until the decoder wants more; with what `look` sees in each before the next one is asked for. */
function items(decoder: FrameDecoder): Item[];
function items(decoder: FrameDecoder, look: (item: Item) => string): { item: Item; payload: string }[];
function items(decoder: FrameDecoder, look?: (item: Item) => string): unknown[] {
  const found: unknown[] = [];
  for (let item = decoder.next(); item; item = decoder.next())
    found.push(look ? { item, payload: look(item) } : item);
  return found;
}

function lentBytes(item: Item): string {
  if (item.kind === 'data') return hex(item.payload);
  return item.kind === 'sealed' ? hex(item.body) : '';
}

function inChunks(data: Uint8Array, size: number): Uint8Array[] {
  const chunks: Uint8Array[] = [];
  for (let at = 0; at < data.length; at += size) chunks.push(data.slice(at, at + size));
  return chunks;
}
