import {
  type ControlItem,
  decodeHeaderBlock,
  FrameDecoder,
  HeaderDecompressor,
  type HeaderList,
  type Item,
  type KeyNego,
  type SealedItem,
} from '@keymux/frames';
import { algorithmName } from '@keymux/keys';
import { atCanary, type Excerpt, ofNoise } from './excerpt.ts';
import type { Capture } from './wiretap.ts';

type Side = 'client' | 'server';

/** A key that was negotiated on a hop, as its frames show it to anybody. */
export interface SeenKey {
  readonly keyId: number;
  readonly algorithm: string;
  readonly startedBy: Side;
  /** The host that the key speaks for; empty for the peer that ends the session itself. */
  readonly authority: string;
  /** 0 for the session on the wire, 1 for one inside a tunnel. */
  readonly depth: number;
}

/** What one direction of a hop shows. */
export interface Heard {
  /** Heads of requests or answers that could be read. */
  readonly heads: readonly string[];
  /** A few of the captured bytes: around the secret if it is there, else out of the longest envelope. */
  readonly excerpt: Excerpt | undefined;
  /** IDs of the keys that envelopes of the innermost session were sealed with. */
  readonly sealedUnder: readonly number[];
}

/** What an eavesdropper on one hop can tell from the bytes alone. */
export interface HopView {
  readonly connections: number;
  readonly bytes: number;
  /** Bytes of SEALED frames; all others are clear, and of those so many are KEY_NEGO frames. */
  readonly sealedBytes: number;
  readonly clearBytes: number;
  readonly negotiationBytes: number;
  /** Frames by type; those of a session inside a readable tunnel count as `tunnel:TYPE`. */
  readonly frames: Readonly<Record<string, number>>;
  readonly keys: readonly SeenKey[];
  readonly request: Heard;
  readonly answer: Heard;
  /** Whether a secret was found in the captured bytes. */
  readonly canaryVisible: boolean;
}

/** Takes the captures of a hop apart, as anybody on the path could. */
export function viewHop(captures: readonly Capture[], canaries: readonly string[]): HopView {
  const view = new View();
  const upstream = captures.map((capture) => Buffer.concat(capture.upstream));
  const downstream = captures.map((capture) => Buffer.concat(capture.downstream));
  for (const bytes of upstream) view.read(bytes, 'client', 0);
  for (const bytes of downstream) view.read(bytes, 'server', 0);
  const all = [...upstream, ...downstream];
  const bytes = all.reduce((sum, { length }) => sum + length, 0);
  const { frames, keys, sealedBytes, negotiationBytes } = view;
  return {
    connections: captures.length,
    bytes,
    sealedBytes,
    clearBytes: bytes - sealedBytes,
    negotiationBytes,
    frames: Object.fromEntries(frames),
    keys,
    request: heard(view.client, upstream, canaries),
    answer: heard(view.server, downstream, canaries),
    canaryVisible: canaries.some((canary) => all.some((direction) => direction.includes(canary))),
  };
}

function heard({ heads, sealed }: Traces, captured: readonly Buffer[], canaries: readonly string[]): Heard {
  const found = captured.map((bytes) => atCanary(bytes, canaries)).find((excerpt) => excerpt !== undefined);
  const sealedUnder = [...(sealed?.keyIds ?? [])];
  return { heads, excerpt: found ?? (sealed && ofNoise(sealed.longest)), sealedUnder };
}

/** What was noticed in one direction. */
interface Traces {
  readonly heads: string[];
  /** Of the envelopes of the innermost session. */
  sealed?: { readonly depth: number; readonly keyIds: Set<number>; longest: Buffer };
}

class View {
  readonly frames = new Map<string, number>();
  readonly keys: SeenKey[] = [];
  readonly client: Traces = { heads: [] };
  readonly server: Traces = { heads: [] };
  sealedBytes = 0;
  negotiationBytes = 0;

  /** Reads one direction of a session. Payload of streams may be a session of its own, and is tried as one. */
  read(bytes: Uint8Array, side: Side, depth: number): void {
    const decoder = new FrameDecoder({ place: 'outside', sealed: true });
    const headers = new HeaderDecompressor();
    const payloads = new Map<number, Uint8Array[]>();
    decoder.push(bytes);
    for (let item = decoder.next(); item !== undefined; item = decoder.next()) {
      this.#count(item, depth);
      if (item.kind === 'data') {
        const known = payloads.get(item.streamId) ?? [];
        payloads.set(item.streamId, [...known, item.payload]);
      } else if (item.kind === 'sealed') this.#sealed(item, side, depth);
      else this.#control(item, headers, side, depth);
    }
    for (const pieces of payloads.values()) {
      const payload = Buffer.concat(pieces);
      if (payload[0] === 0x80 && payload[1] === 0x03) this.read(payload, side, depth + 1);
    }
  }

  #count(item: Item, depth: number): void {
    if (item.kind === 'data' && !item.first) return;
    const type = item.kind === 'control' ? item.frame.type : item.kind;
    const name = (depth > 0 ? 'tunnel:' : '') + type.toUpperCase().replaceAll('-', '_');
    this.frames.set(name, (this.frames.get(name) ?? 0) + 1);
  }

  #sealed({ keyId, head, body }: SealedItem, side: Side, depth: number): void {
    this.sealedBytes += head.length + body.length;
    const traces = this[side];
    if (traces.sealed === undefined || depth > traces.sealed.depth)
      traces.sealed = { depth, keyIds: new Set(), longest: Buffer.alloc(0) };
    if (depth < traces.sealed.depth) return;
    traces.sealed.keyIds.add(keyId);
    if (body.length > traces.sealed.longest.length) traces.sealed.longest = Buffer.from(body);
  }

  #control({ frame, bytes }: ControlItem, headers: HeaderDecompressor, side: Side, depth: number): void {
    if (frame.type === 'key-nego') {
      this.negotiationBytes += bytes.length;
      this.#keyNego(frame, side, depth);
    }
    if ('block' in frame)
      this[side].heads.push(describeHeaders(decodeHeaderBlock(headers.decompress(frame.block))));
  }

  #keyNego(frame: KeyNego, startedBy: Side, depth: number): void {
    const ours = (frame.keyId % 2 === 1) === (startedBy === 'client');
    const { keyId } = frame;
    if (!ours || this.keys.some((key) => key.keyId === keyId && key.depth === depth)) return;
    const authority = authorityOf(Buffer.from(frame.data));
    this.keys.push({ keyId, algorithm: algorithmName(frame.algorithm), startedBy, authority, depth });
  }
}

/** The host that a first KEY_NEGO frame asks a key for (spec 3.4): anybody can read it. */
function authorityOf(data: Buffer): string {
  const at = 5 + (data[4] ?? 0);
  return data.toString('latin1', at + 1, at + 1 + (data[at] ?? 0));
}

/** A request or an answer in a few words. */
export function describeHeaders(headers: HeaderList): string {
  const value = (name: string): string => headers.find(([key]) => key === name)?.[1] ?? '';
  const status = value(':status');
  if (status !== '') return status;
  return value(':method') === 'CONNECT'
    ? `CONNECT ${value(':path')}`
    : `${value(':method')} ${value(':host')}${value(':path')}`;
}
