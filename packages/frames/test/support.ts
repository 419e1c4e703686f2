import type { Deflate, Inflate } from 'node:zlib';
import { type ControlFrame, type DecoderOptions, FrameDecoder, FrameError, type Item } from '../src/index.ts';

export function bytes(hex: string): Uint8Array {
  return new Uint8Array(Buffer.from(hex.replaceAll(' ', ''), 'hex'));
}

export function hex(data: Uint8Array): string {
  return Buffer.from(data).toString('hex');
}

/** The error that `act` throws; it has to be a FrameError. */
export function refusal(act: () => unknown): FrameError {
  try {
    act();
  } catch (error) {
    if (error instanceof FrameError) return error;
    throw error;
  }
  throw new Error('nothing was thrown');
}

/** A frame in the form of spec/vectors/frames.json: byte fields in hexadecimal, DATA in one piece. */
export type PlainFrame = { type: string; [field: string]: unknown };

/** The typed frame: the reverse of what `decode` does with control frames. */
export function fromPlain(plain: Readonly<PlainFrame>): ControlFrame {
  const frame = { ...plain };
  for (const field of ['block', 'data', 'digest', 'frame']) {
    if (typeof frame[field] === 'string') frame[field] = bytes(frame[field]);
  }
  return frame as unknown as ControlFrame;
}

export interface Outcome {
  frames: PlainFrame[];
  error?: { scope: string; status: number };
  /** Whether the input ended inside a frame. */
  midFrame: boolean;
}

/** Pushes `chunks` one after the other into a new decoder and takes what comes out after each. */
export function decode(chunks: readonly Uint8Array[], options: DecoderOptions): Outcome {
  const decoder = new FrameDecoder(options);
  const frames: PlainFrame[] = [];
  for (const chunk of chunks) {
    decoder.push(chunk);
    const error = drain(decoder, frames);
    if (error) return { frames, error: { scope: error.scope, status: error.status }, midFrame: false };
  }
  if (frames.at(-1)?.partial) frames.pop();
  return { frames, midFrame: decoder.midFrame };
}

/** Takes every item; the error that stopped it, if one did. */
function drain(decoder: FrameDecoder, frames: PlainFrame[]): FrameError | undefined {
  try {
    for (let item = decoder.next(); item; item = decoder.next()) collect(item, frames);
    return undefined;
  } catch (error) {
    if (error instanceof FrameError) return error;
    throw error;
  }
}

function collect(item: Item, frames: PlainFrame[]): void {
  if (item.kind === 'control') {
    const frame: PlainFrame = { ...item.frame };
    for (const [field, value] of Object.entries(frame)) {
      if (value instanceof Uint8Array) frame[field] = hex(value);
    }
    frames.push(frame);
  } else if (item.kind === 'sealed') {
    const { keyId, generation } = item;
    frames.push({ type: 'sealed', keyId, generation, body: hex(item.body) });
  } else {
    const { streamId, fin, payload, first, last } = item;
    const begun = first ? undefined : frames.pop();
    const joined = `${begun?.payload ?? ''}${hex(payload)}`;
    const frame: PlainFrame = { type: 'data', streamId, fin, payload: joined };
    frames.push(last ? frame : { ...frame, partial: true });
  }
}

/** Writes one block and gives all that comes out for it, in hexadecimal. */
export function through(stream: Deflate | Inflate, block: Uint8Array): Promise<string> {
  return new Promise((resolve, reject) => {
    stream.once('error', reject);
    stream.write(block, () => {
      const out: Buffer[] = [];
      for (let piece = stream.read(); piece; piece = stream.read()) out.push(piece);
      stream.removeListener('error', reject);
      resolve(Buffer.concat(out).toString('hex'));
    });
  });
}
