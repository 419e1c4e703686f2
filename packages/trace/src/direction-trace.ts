import {
  type ControlItem,
  type DataItem,
  decodeHeaderBlock,
  FrameDecoder,
  FrameError,
  HEAD_LENGTH,
  HeaderDecompressor,
  type HeaderList,
  SEALED_HEAD_LENGTH,
  type SealedItem,
  TAG_LENGTH,
} from '@keymux/frames';
import { describeNego, type NegoDescription } from '@keymux/keys';
import type { Side } from './carrier-reader.ts';
import { describeFrame, flagsOf } from './describe-frame.ts';
import { LoggedKeys } from './logged-keys.ts';
import type { TraceRecord } from './record.ts';
import type { TraceOptions } from './session-trace.ts';

type Envelope = TraceRecord['under'];

/** Takes payload of a stream; returns the frames of the session that runs inside it. */
type Inside = (from: Side, stream: number, payload: Uint8Array, time: number) => TraceRecord[];

/** One direction of a session. */
export class DirectionTrace {
  readonly #from: Side;
  /** Key IDs that a run has begun for, on either side. */
  readonly #runs: Set<number>;
  readonly #keys: LoggedKeys;
  readonly #payload: boolean;
  readonly #insideStream: Inside;
  readonly #outside = new FrameDecoder({ place: 'outside', sealed: true });
  readonly #inside = new FrameDecoder({ place: 'inside' });
  readonly #decompressor = new HeaderDecompressor();
  /** Payload of the DATA frame that is arriving. */
  #pieces: Uint8Array[] = [];
  #failed = false;

  constructor(from: Side, runs: Set<number>, { keyLog = [], payload = false }: TraceOptions, inside: Inside) {
    this.#from = from;
    this.#runs = runs;
    this.#keys = new LoggedKeys(keyLog.filter((entry) => entry.from === from));
    this.#payload = payload;
    this.#insideStream = inside;
  }

  receive(bytes: Uint8Array, time: number): TraceRecord[] {
    const records: TraceRecord[] = [];
    if (this.#failed) return records;
    try {
      this.#outside.push(Uint8Array.from(bytes));
      for (const record of this.#frames(this.#outside, time, undefined)) records.push(record);
    } catch (error) {
      if (!(error instanceof FrameError)) throw error;
      this.#failed = true; // where the next frame begins is not known
      records.push({ ...this.#base(time, 'ERROR', 0), fields: { message: error.message } });
    }
    return records;
  }

  *#frames(decoder: FrameDecoder, time: number, under: Envelope): Generator<TraceRecord> {
    for (let item = decoder.next(); item !== undefined; item = decoder.next()) {
      if (item.kind === 'sealed') yield* this.#sealed(item, time);
      else if (item.kind === 'control') yield this.#control(item, time, under);
      else {
        const record = this.#data(item, time, under);
        if (record !== undefined) yield record;
        yield* this.#insideStream(this.#from, item.streamId, item.payload, time);
      }
    }
  }

  #data(item: DataItem, time: number, under: Envelope): TraceRecord | undefined {
    if (this.#payload) this.#pieces.push(item.payload);
    if (!item.last) return undefined;
    const payload = this.#payload ? Buffer.concat(this.#pieces) : undefined;
    this.#pieces = [];
    return {
      ...this.#base(time, 'DATA', HEAD_LENGTH + item.length, under),
      stream: item.streamId,
      flags: item.fin ? ['FIN'] : [],
      ...(payload && { payload }),
    };
  }

  #control({ frame, bytes }: ControlItem, time: number, under: Envelope): TraceRecord {
    const { type, ...fields } = describeFrame(frame);
    const base = this.#base(time, type, bytes.length, under);
    const stream = 'streamId' in frame ? { stream: frame.streamId } : {};
    const headers = 'block' in frame ? this.#headers(frame.block, under) : {};
    const nego = frame.type === 'key-nego' ? { nego: this.#nego(frame) } : {};
    return { ...base, ...stream, flags: flagsOf(frame), ...headers, ...nego, fields };
  }

  #headers(block: Uint8Array, under: Envelope): { headers?: HeaderList } {
    try {
      // Only what travels in the clear is compressed (spec 1.3).
      return {
        headers: decodeHeaderBlock(under === undefined ? this.#decompressor.decompress(block) : block),
      };
    } catch (error) {
      if (error instanceof FrameError && error.scope === 'stream') return {};
      throw error;
    }
  }

  #nego(frame: Parameters<typeof describeNego>[0] & { keyId: number }): NegoDescription {
    const first = frame.renegotiate || !this.#runs.has(frame.keyId);
    this.#runs.add(frame.keyId);
    return describeNego(frame, first);
  }

  *#sealed(item: SealedItem, time: number): Generator<TraceRecord> {
    const { keyId, generation, head, body } = item;
    const plaintext = this.#keys.open(keyId, generation, head, body);
    yield {
      ...this.#base(time, 'SEALED', SEALED_HEAD_LENGTH + body.length),
      fields: { keyId, generation, plaintext: body.length - TAG_LENGTH, opened: plaintext !== undefined },
    };
    if (plaintext !== undefined) this.#inside.push(plaintext);
    yield* this.#frames(this.#inside, time, { keyId, generation });
  }

  #base(time: number, type: string, bytes: number, under?: Envelope) {
    return { time, from: this.#from, type, bytes, ...(under && { under }) };
  }
}
