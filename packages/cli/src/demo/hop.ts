import {
  type ControlItem,
  decodeHeaderBlock,
  FrameDecoder,
  HeaderDecompressor,
  type HeaderList,
  type Item,
  type KeyNego,
} from '@keymux/frames';
import { algorithmName } from '../leg.ts';
import type { Capture } from './wiretap.ts';

/** A key that was negotiated on a hop, as its frames show it to anybody. */
export interface SeenKey {
  readonly keyId: number;
  readonly algorithm: string;
  readonly startedBy: 'client' | 'server';
  /** 0 for the session on the wire, 1 for one inside a tunnel. */
  readonly depth: number;
}

/** What an eavesdropper on one hop can tell from the bytes alone. */
export interface HopView {
  readonly connections: number;
  readonly bytes: number;
  readonly sealedBytes: number;
  readonly clearBytes: number;
  /** Frames by type; those of a session inside a readable tunnel count as `tunnel:TYPE`. */
  readonly frames: Readonly<Record<string, number>>;
  readonly keys: readonly SeenKey[];
  /** What could be read, in words. */
  readonly readable: readonly string[];
  /** Whether the secret was found in the captured bytes. */
  readonly canaryVisible: boolean;
}

/** Takes the captures of a hop apart, as anybody on the path could. */
export function viewHop(captures: readonly Capture[], canaries: readonly string[]): HopView {
  const view = new View();
  let bytes = 0;
  let canaryVisible = false;
  for (const { upstream, downstream } of captures) {
    for (const [side, chunks] of [
      ['client', upstream],
      ['server', downstream],
    ] as const) {
      const all = Buffer.concat(chunks);
      bytes += all.length;
      canaryVisible ||= canaries.some((canary) => all.includes(canary));
      view.read(all, side, 0);
    }
  }
  const { frames, keys, readable, sealedBytes } = view;
  return {
    connections: captures.length,
    bytes,
    sealedBytes,
    clearBytes: bytes - sealedBytes,
    frames: Object.fromEntries(frames),
    keys,
    readable,
    canaryVisible,
  };
}

class View {
  readonly frames = new Map<string, number>();
  readonly keys: SeenKey[] = [];
  readonly readable: string[] = [];
  sealedBytes = 0;

  /** Reads one direction of a session. Payload of streams may be a session of its own, and is tried as one. */
  read(bytes: Uint8Array, side: 'client' | 'server', depth: number): void {
    const decoder = new FrameDecoder({ place: 'outside', sealed: true });
    const headers = new HeaderDecompressor();
    const payloads = new Map<number, Uint8Array[]>();
    decoder.push(bytes);
    for (let item = decoder.next(); item !== undefined; item = decoder.next()) {
      this.#count(item, depth);
      if (item.kind === 'data') {
        const known = payloads.get(item.streamId) ?? [];
        payloads.set(item.streamId, [...known, item.payload]);
      } else if (item.kind === 'sealed') this.sealedBytes += item.head.length + item.length;
      else this.#control(item, headers, side, depth);
    }
    for (const pieces of payloads.values()) this.#payload(Buffer.concat(pieces), side, depth);
  }

  #count(item: Item, depth: number): void {
    if (item.kind === 'data' && !item.first) return;
    const type = item.kind === 'control' ? item.frame.type : item.kind;
    const name = (depth > 0 ? 'tunnel:' : '') + type.toUpperCase().replace('-', '_');
    this.frames.set(name, (this.frames.get(name) ?? 0) + 1);
  }

  #control(
    { frame }: ControlItem,
    decompressor: HeaderDecompressor,
    side: 'client' | 'server',
    depth: number,
  ): void {
    if (frame.type === 'key-nego') this.#keyNego(frame, side, depth);
    if (!('block' in frame)) return;
    this.readable.push(describeHeaders(decodeHeaderBlock(decompressor.decompress(frame.block))));
  }

  #keyNego(frame: KeyNego, startedBy: 'client' | 'server', depth: number): void {
    const ours = (frame.keyId % 2 === 1) === (startedBy === 'client');
    const { keyId } = frame;
    if (!ours || this.keys.some((key) => key.keyId === keyId && key.depth === depth)) return;
    this.keys.push({ keyId, algorithm: algorithmName(frame.algorithm), startedBy, depth });
  }

  #payload(bytes: Buffer, side: 'client' | 'server', depth: number): void {
    if (bytes[0] === 0x80 && bytes[1] === 0x03) {
      this.read(bytes, side, depth + 1);
      return;
    }
    const text = bytes.toString('latin1').replace(/\s+/g, ' ').trim();
    if (text !== '') this.readable.push(text);
  }
}

function describeHeaders(headers: HeaderList): string {
  const value = (name: string): string => headers.find(([key]) => key === name)?.[1] ?? '';
  const status = value(':status');
  if (status !== '') return status;
  return value(':method') === 'CONNECT'
    ? `CONNECT ${value(':path')}`
    : `${value(':method')} ${value(':host')}${value(':path')}`;
}
