import {
  type ControlFrame,
  encodeControl,
  FrameDecoder,
  type Goaway,
  type KeyNego,
  type StateReader,
  type StateWriter,
  type WindowUpdate,
} from '@keymux/frames';
import type { Stream } from './stream.ts';
import type { Opening } from './stream-writer.ts';

/** What is sent before any payload, in order. */
export type Urgent =
  | { readonly kind: 'session'; readonly frame: ControlFrame }
  | { readonly kind: 'pong'; readonly id: number }
  | { readonly kind: 'key-nego'; readonly frame: KeyNego }
  | { readonly kind: 'control-key'; readonly keyId: number }
  | { readonly kind: 'generation'; readonly keyId: number }
  | { readonly kind: 'retire'; readonly keyId: number }
  | { readonly kind: 'of-key'; readonly keyId: number; readonly frame: Goaway | WindowUpdate }
  | { readonly kind: 'opening'; readonly stream: Stream; readonly opening: Opening }
  | { readonly kind: 'window-update'; readonly stream: Stream; readonly delta: number }
  | {
      readonly kind: 'reset';
      readonly streamId: number;
      readonly keyId: number;
      readonly status: number;
      readonly ours: boolean;
    };

type KindOf<K extends Urgent['kind']> = Extract<Urgent, { kind: K }>;

/** Each kind as it is saved (spec 13.8), in the order of its numbers. */
const FORMS: { readonly [K in Urgent['kind']]: Form<KindOf<K>> } = {
  session: {
    save: (writer, { frame }) => saveFrame(writer, frame),
    load: (reader) => ({ kind: 'session', frame: loadFrame(reader) }),
  },
  pong: {
    save: (writer, { id }) => writer.u32(id),
    load: (reader) => ({ kind: 'pong', id: reader.u32() }),
  },
  'key-nego': {
    save: (writer, { frame }) => saveFrame(writer, frame),
    load: (reader) => ({ kind: 'key-nego', frame: loadFrame(reader, 'key-nego') }),
  },
  'control-key': ofKey('control-key'),
  generation: ofKey('generation'),
  retire: ofKey('retire'),
  'of-key': {
    save: (writer, { keyId, frame }) => {
      writer.u8(keyId);
      saveFrame(writer, frame);
    },
    load: (reader) => ({
      kind: 'of-key',
      keyId: reader.u8(),
      frame: loadFrame(reader, 'goaway', 'window-update'),
    }),
  },
  opening: {
    save: (writer, { stream, opening }) => {
      writer.u32(stream.id);
      writer.flag(opening.type === 'syn-reply');
      writer.bytes(opening.block);
      writer.flag(opening.fin);
      writer.u8(opening.keyId);
      writer.flag(opening.unidirectional);
      writer.u32(opening.associatedId);
    },
    load: (reader, streamOf) => ({
      kind: 'opening',
      stream: streamOf(reader.u32()),
      opening: {
        type: reader.flag() ? 'syn-reply' : 'syn-stream',
        block: reader.bytes(),
        fin: reader.flag(),
        keyId: reader.u8(),
        unidirectional: reader.flag(),
        associatedId: reader.u32(),
      },
    }),
  },
  'window-update': {
    save: (writer, { stream, delta }) => {
      writer.u32(stream.id);
      writer.u32(delta);
    },
    load: (reader, streamOf) => ({
      kind: 'window-update',
      stream: streamOf(reader.u32()),
      delta: reader.u32(),
    }),
  },
  reset: {
    save: (writer, { streamId, keyId, status, ours }) => {
      writer.u32(streamId);
      writer.u8(keyId);
      writer.u32(status);
      writer.flag(ours);
    },
    load: (reader) => ({
      kind: 'reset',
      streamId: reader.u32(),
      keyId: reader.u8(),
      status: reader.u32(),
      ours: reader.flag(),
    }),
  },
};

const KINDS = Object.keys(FORMS) as Urgent['kind'][];

export function saveUrgent(writer: StateWriter, entry: Urgent): void {
  writer.u8(KINDS.indexOf(entry.kind));
  (FORMS[entry.kind] as Form<Urgent>).save(writer, entry);
}

/** @param streamOf the stream of an ID; throws if there is none */
export function loadUrgent(reader: StateReader, streamOf: (id: number) => Stream): Urgent {
  const kind = KINDS[reader.u8(KINDS.length - 1)] as Urgent['kind'];
  return FORMS[kind].load(reader, streamOf);
}

interface Form<E> {
  save(writer: StateWriter, entry: E): void;
  load(reader: StateReader, streamOf: (id: number) => Stream): E;
}

/** What needs to know nothing but a key. */
function ofKey<K extends 'control-key' | 'generation' | 'retire'>(kind: K): Form<{ kind: K; keyId: number }> {
  return {
    save: (writer, { keyId }) => writer.u8(keyId),
    load: (reader) => ({ kind, keyId: reader.u8() }),
  };
}

function saveFrame(writer: StateWriter, frame: ControlFrame): void {
  writer.bytes(encodeControl(frame));
}

/** The frame, which has to be of one of `types`; without, of any. */
function loadFrame<T extends ControlFrame['type']>(
  reader: StateReader,
  ...types: readonly T[]
): Extract<ControlFrame, { type: T }> {
  const decoder = new FrameDecoder({ place: 'inside', sealed: true });
  decoder.push(reader.bytes());
  const item = decoder.next();
  const known =
    item?.kind === 'control' && (types.length === 0 || types.some((type) => type === item.frame.type));
  if (!known || decoder.midFrame) throw reader.malformed('a frame that waits is none, or not alone');
  return item.frame as Extract<ControlFrame, { type: T }>;
}
