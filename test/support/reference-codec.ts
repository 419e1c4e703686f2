/**
 * A second, naive codec for spec chapter 1, to compare the real one with. It is written from the layouts of the
 * chapter and shares nothing with packages/frames: whole inputs only, bit strings, hexadecimal texts, slow.
 */

export type Place = 'outside' | 'inside' | 'link';

/** A frame as in spec/vectors/frames.json: byte fields are hexadecimal texts. */
export type ReferenceFrame = { readonly type: string } & Readonly<Record<string, unknown>>;

export interface ReferenceResult {
  readonly frames: ReferenceFrame[];
  /** What stopped it, if anything did. */
  readonly error?: { readonly scope: 'session'; readonly status: number };
  /** Whether the input ended inside a frame. */
  readonly midFrame: boolean;
}

/** All frames of `bytes`, up to the first session error. */
export function referenceDecode(bytes: Uint8Array, place: Place, keymux: boolean): ReferenceResult {
  const frames: ReferenceFrame[] = [];
  let rest = Buffer.from(bytes);
  try {
    while (rest.length >= 8) {
      const { frame, length } = decodeOne(rest, place, keymux || place !== 'outside');
      if (frame === undefined) break;
      rest = rest.subarray(length);
      if (frame.type === 'padding' && rest.length > 0) throw new Refusal(KEY_FAILURE);
      frames.push(frame);
    }
  } catch (error) {
    if (error instanceof Refusal)
      return { frames, error: { scope: 'session', status: error.status }, midFrame: false };
    throw error;
  }
  return { frames, midFrame: rest.length > 0 };
}

/** The bytes of a frame that a correct sender can make. */
export function referenceEncode(frame: ReferenceFrame): Buffer {
  if (frame.type === 'data') {
    const payload = Buffer.from(frame.payload as string, 'hex');
    const head = bitsOf('zero:1 streamId:31 flags:8 length:24', {
      ...frame,
      flags: frame.fin ? 1 : 0,
      length: payload.length,
    });
    return Buffer.concat([fromBits(head), payload]);
  }
  const kind = KINDS.find((candidate) => candidate.type === frame.type);
  if (!kind) throw new Error(`no layout for ${frame.type}`);
  const flags = Object.entries(kind.flags).reduce(
    (sum, [flag, name]) => sum + (frame[name] ? Number(flag) : 0),
    0,
  );
  const tail = encodeTail(kind, frame);
  const fields = {
    ...countedEntries(frame),
    version: 1,
    dataLength: tail.length,
    addressLength: tail.length,
  };
  const body = Buffer.concat([fromBits(bitsOf(kind.layout, fields)), tail]);
  const head = { one: 1, version: 3, type: kind.code, flags, length: body.length };
  return Buffer.concat([fromBits(bitsOf('one:1 version:15 type:16 flags:8 length:24', head)), body]);
}

class Refusal extends Error {
  readonly status: number;
  constructor(status: number) {
    super();
    this.status = status;
  }
}

interface Kind {
  readonly name: string;
  readonly code: number;
  readonly type: string;
  /** Fields of fixed width, `name:bits`; `X` is ignored, `zero` has to be 0. */
  readonly layout: string;
  /** The field for the bytes after the layout. */
  readonly tail?: string;
  readonly flags: Readonly<Record<number, string>>;
  readonly most: number;
  /** Status if longer than `most`. */
  readonly tooLong?: number;
  /** Status if shorter than the layout. */
  readonly tooShort?: number;
  readonly where?: Place;
  /** Fields that must not be 0. */
  readonly nonzero?: readonly string[];
}

const PROTOCOL_ERROR = 1;
const FRAME_TOO_LARGE = 11;
const KEY_FAILURE = 0x4b01;

// biome-ignore format: a table
const KINDS: readonly Kind[] = [
  { name: 'SYN_STREAM', code: 1, type: 'syn-stream', layout: 'X:1 streamId:31 X:1 associatedId:31 priority:3 X:5 slot:8', tail: 'block', flags: { 1: 'fin', 2: 'unidirectional', 128: 'payloadOutside' }, most: 65546, tooLong: FRAME_TOO_LARGE, nonzero: ['streamId'] },
  { name: 'SYN_REPLY', code: 2, type: 'syn-reply', layout: 'X:1 streamId:31', tail: 'block', flags: { 1: 'fin' }, most: 65546, tooLong: FRAME_TOO_LARGE, nonzero: ['streamId'] },
  { name: 'RST_STREAM', code: 3, type: 'rst-stream', layout: 'X:1 streamId:31 status:32', flags: {}, most: 8, nonzero: ['streamId'] },
  { name: 'SETTINGS', code: 4, type: 'settings', layout: 'count:32', tail: 'entries', flags: { 1: 'clear' }, most: 4 + 8 * 64 },
  { name: 'PING', code: 6, type: 'ping', layout: 'id:32', flags: {}, most: 4 },
  { name: 'GOAWAY', code: 7, type: 'goaway', layout: 'X:1 lastGoodId:31 status:32', flags: {}, most: 8 },
  { name: 'HEADERS', code: 8, type: 'headers', layout: 'X:1 streamId:31', tail: 'block', flags: { 1: 'fin' }, most: 65546, tooLong: FRAME_TOO_LARGE, nonzero: ['streamId'] },
  { name: 'WINDOW_UPDATE', code: 9, type: 'window-update', layout: 'X:1 streamId:31 X:1 delta:31', flags: {}, most: 8, nonzero: ['delta'] },
  { name: 'KEY_NEGO', code: 0x4b, type: 'key-nego', layout: 'keyId:8 algorithm:8 dataLength:16', tail: 'data', flags: { 1: 'fin', 2: 'reject', 4: 'retire', 8: 'renegotiate' }, most: 8196, nonzero: ['keyId'] },
  { name: 'KEY_GONE', code: 0x47, type: 'key-gone', layout: 'keyId:8 zero:24 status:32', flags: {}, most: 8, where: 'outside', nonzero: ['keyId'] },
  { name: 'FRONT_HELLO', code: 0x46, type: 'front-hello', layout: 'version:8 addressLength:8 port:16 maxConcurrentStreams:32 streamWindow:32 keyWindow:32', tail: 'address', flags: {}, most: 80, where: 'link' },
  { name: 'FRONT_NEGO', code: 0x4e, type: 'front-nego', layout: '', tail: 'frame', flags: {}, most: 8236, where: 'link' },
  { name: 'FRONT_SENT', code: 0x4f, type: 'front-sent', layout: 'keyId:8 zero:24', tail: 'digest', flags: {}, most: 36, where: 'link', nonzero: ['keyId'] },
  { name: 'PADDING', code: 0x50, type: 'padding', layout: '', tail: 'length', flags: {}, most: 66552, where: 'inside' },
  { name: 'SEALED', code: 0x53, type: 'sealed', layout: 'keyId:8 generation:8', tail: 'body', flags: {}, most: 66578, tooLong: KEY_FAILURE, tooShort: KEY_FAILURE, where: 'outside' },
  { name: 'KEY_SWITCH', code: 0x54, type: 'key-switch', layout: 'X:1 streamId:31 previousKeyId:8 previousGeneration:8 zero:16 count:64', tail: 'digest', flags: {}, most: 48, where: 'inside' },
  { name: 'STREAM_END', code: 0x55, type: 'stream-end', layout: 'X:1 streamId:31 total:64', flags: {}, most: 12, where: 'inside', nonzero: ['streamId'] },
  { name: 'KEY_UPDATE', code: 0x56, type: 'key-update', layout: 'count:64', flags: {}, most: 8, where: 'inside' },
];

/** What may stand on the link of a front and a host (spec 10.5). */
const ON_LINK = [
  'SETTINGS',
  'PING',
  'GOAWAY',
  'KEY_NEGO',
  'SEALED',
  'FRONT_HELLO',
  'FRONT_NEGO',
  'FRONT_SENT',
];

const ENTRY = 'flags:8 id:24 value:32';

/** The first frame of `bytes`; undefined if it is not complete and nothing in its head is wrong. */
function decodeOne(
  bytes: Buffer,
  place: Place,
  keymux: boolean,
): { frame: ReferenceFrame | undefined; length: number } {
  const head = fieldsOf('control:1 version:15 type:16 flags:8 length:24', bytes.subarray(0, 8));
  const length = 8 + number(head.length);
  if (place === 'inside' && length > 66560) throw new Refusal(FRAME_TOO_LARGE);
  const rest = bytes.length < length ? undefined : bytes.subarray(8, length);
  if (head.control === 0 && place === 'link') throw new Refusal(KEY_FAILURE);
  if (head.control === 0) return { frame: decodeData(bytes, rest), length };
  if (head.version !== 3) throw new Refusal(PROTOCOL_ERROR);
  const kind = KINDS.find(
    ({ code, where }) =>
      code === head.type && (code < 10 || keymux) && (where !== 'link' || place === 'link'),
  );
  if (!kind) {
    if (length > 65554) throw new Refusal(FRAME_TOO_LARGE);
    const frame = { type: 'unknown', code: head.type, flags: head.flags, length: length - 8 };
    return { frame: rest && frame, length };
  }
  judge(kind, place, length - 8);
  return { frame: rest && decodeBody(kind, number(head.flags), rest, place), length };
}

function decodeData(bytes: Buffer, payload: Buffer | undefined): ReferenceFrame | undefined {
  const { streamId, flags } = fieldsOf('X:1 streamId:31 flags:8 length:24', bytes.subarray(0, 8));
  if (streamId === 0) throw new Refusal(PROTOCOL_ERROR);
  return (
    payload && { type: 'data', streamId, fin: number(flags) % 2 === 1, payload: payload.toString('hex') }
  );
}

function judge(kind: Kind, place: Place, length: number): void {
  const fits = place === 'link' ? ON_LINK.includes(kind.name) : !kind.where || kind.where === place;
  if (!fits) throw new Refusal(KEY_FAILURE);
  const least =
    { SEALED: 26, KEY_SWITCH: 48, FRONT_NEGO: 44, FRONT_SENT: 36 }[kind.name] ?? widthOf(kind.layout) / 8;
  if (length < least) throw new Refusal(kind.tooShort ?? PROTOCOL_ERROR);
  if (length > kind.most) throw new Refusal(kind.tooLong ?? PROTOCOL_ERROR);
  if (kind.name === 'SETTINGS' && length % 8 !== 4) throw new Refusal(PROTOCOL_ERROR);
}

function decodeBody(kind: Kind, flags: number, body: Buffer, place: Place): ReferenceFrame {
  const fixed = widthOf(kind.layout) / 8;
  const fields = fieldsOf(kind.layout, body.subarray(0, fixed));
  const tail = body.subarray(fixed);
  const named = Object.entries(kind.flags).map(
    ([flag, name]) => [name, (flags & Number(flag)) !== 0] as const,
  );
  const frame: Record<string, unknown> = { type: kind.type, ...fields, ...Object.fromEntries(named) };
  for (const field of kind.nonzero ?? []) if (fields[field] === 0) throw new Refusal(PROTOCOL_ERROR);
  for (const value of Object.values(fields)) {
    if (!Number.isSafeInteger(value)) throw new Refusal(PROTOCOL_ERROR);
  }
  if (fields.zero) throw new Refusal(PROTOCOL_ERROR);
  delete frame.zero;
  if (kind.name === 'SYN_STREAM' && place === 'outside') frame.payloadOutside = false;
  if (kind.name === 'KEY_NEGO') {
    if (fields.dataLength !== tail.length) throw new Refusal(PROTOCOL_ERROR);
    const ends = frame.reject || frame.retire;
    if ((frame.reject && frame.retire) || (ends && (!frame.fin || frame.renegotiate)))
      throw new Refusal(PROTOCOL_ERROR);
    delete frame.dataLength;
  }
  if (kind.name === 'FRONT_NEGO') {
    const inner = referenceDecode(tail.subarray(32), 'outside', true);
    if (inner.midFrame || inner.frames.length !== 1 || inner.frames[0]?.type !== 'key-nego')
      throw new Refusal(PROTOCOL_ERROR);
    const [digest, whole] = [tail.subarray(0, 32), tail.subarray(32)];
    return { ...frame, digest: digest.toString('hex'), frame: whole.toString('hex') } as never;
  }
  if (kind.name === 'FRONT_HELLO') {
    const windows = [number(fields.streamWindow), number(fields.keyWindow)];
    const sound = tail.length === fields.addressLength && tail.every((byte) => byte > 32 && byte < 127);
    if (fields.version !== 1 || !sound || windows.some((size) => size < 65536 || size >= 2 ** 31))
      throw new Refusal(PROTOCOL_ERROR);
    delete frame.version;
    delete frame.addressLength;
    return { ...frame, address: tail.toString('latin1') } as never;
  }
  if (kind.name === 'SETTINGS') {
    if (tail.length !== number(fields.count) * 8) throw new Refusal(PROTOCOL_ERROR);
    delete frame.count;
    const entries = Array.from({ length: tail.length / 8 }, (_, i) =>
      fieldsOf(ENTRY, tail.subarray(8 * i, 8 * i + 8)),
    );
    return {
      ...frame,
      entries: entries.map((entry) => ({ ...entry, flags: number(entry.flags) % 4 })),
    } as never;
  }
  if (kind.name === 'PADDING') {
    if (tail.some((byte) => byte !== 0)) throw new Refusal(KEY_FAILURE);
    return { ...frame, length: tail.length } as never;
  }
  return { ...frame, ...(kind.tail ? { [kind.tail]: tail.toString('hex') } : {}) } as never;
}

function encodeTail(kind: Kind, frame: ReferenceFrame): Buffer {
  if (kind.name === 'PADDING') return Buffer.alloc(number(frame.length));
  if (kind.name === 'FRONT_NEGO') return Buffer.from(`${frame.digest}${frame.frame}`, 'hex');
  if (kind.name === 'FRONT_HELLO') return Buffer.from(frame.address as string, 'latin1');
  if (kind.name !== 'SETTINGS') return Buffer.from(kind.tail ? (frame[kind.tail] as string) : '', 'hex');
  const entries = frame.entries as Record<string, unknown>[];
  return Buffer.concat(entries.map((entry) => fromBits(bitsOf(ENTRY, entry))));
}

function countedEntries(frame: ReferenceFrame): Record<string, unknown> {
  return Array.isArray(frame.entries) ? { count: frame.entries.length } : frame;
}

// Layouts: 'name:bits name:bits'.

function layoutOf(layout: string): { name: string; width: number }[] {
  return layout
    .split(' ')
    .filter((part) => part !== '')
    .map((part) => ({ name: part.split(':')[0] as string, width: Number(part.split(':')[1]) }));
}

function widthOf(layout: string): number {
  return layoutOf(layout).reduce((sum, { width }) => sum + width, 0);
}

/** A value above 2^53 - 1 becomes Infinity. */
function fieldsOf(layout: string, bytes: Buffer): Record<string, number> {
  let bits = [...bytes].map((byte) => byte.toString(2).padStart(8, '0')).join('');
  const fields: Record<string, number> = {};
  for (const { name, width } of layoutOf(layout)) {
    const value = BigInt(`0b${bits.slice(0, width)}`);
    bits = bits.slice(width);
    if (name !== 'X')
      fields[name] = value > BigInt(Number.MAX_SAFE_INTEGER) ? Number.POSITIVE_INFINITY : Number(value);
  }
  return fields;
}

function bitsOf(layout: string, fields: Readonly<Record<string, unknown>>): string {
  return layoutOf(layout)
    .map(({ name, width }) =>
      BigInt((fields[name] as number | undefined) ?? 0)
        .toString(2)
        .padStart(width, '0'),
    )
    .join('');
}

function fromBits(bits: string): Buffer {
  return Buffer.from((bits.match(/.{8}/g) ?? []).map((byte) => Number.parseInt(byte, 2)));
}

function number(value: unknown): number {
  return value as number;
}
