import { constants, deflateRawSync, deflateSync } from 'node:zlib';
import {
  compressionDictionary,
  encodeControl,
  encodeDataHead,
  encodeHeaderBlock,
  HeaderCompressor,
  HeaderDecompressor,
  type HeaderList,
} from '@keymux/frames';

import type { Way, Wire } from './middle.ts';

/** What somebody who holds no key can make: frames in the clear. */

export function clearRequest(method: string, host: string, path: string, more: HeaderList = []): HeaderList {
  return [
    [':method', method],
    [':path', path],
    [':version', 'HTTP/1.1'],
    [':host', host],
    [':scheme', 'http'],
    ...more,
  ];
}

/**
 * Compresses header blocks of one direction, each but once: what refers to nothing before it can be repeated as it is. An attacker works no
 * more than he must, nor should his test. It knows no limits.
 */
export class FloodCompressor {
  readonly #known = new Map<string, Uint8Array>();
  #begun = false;

  compress(plainBlock: Uint8Array): Uint8Array {
    const name = Buffer.from(plainBlock).toString('latin1');
    const block =
      this.#known.get(name) ?? deflateRawSync(plainBlock, { finishFlush: constants.Z_FULL_FLUSH });
    this.#known.set(name, block);
    if (this.#begun) return block;
    this.#begun = true;
    const begin = { dictionary: compressionDictionary(), finishFlush: constants.Z_SYNC_FLUSH };
    return Buffer.concat([deflateSync(new Uint8Array(0), begin), block]);
  }
}

export interface SynOptions {
  readonly fin?: boolean;
  readonly slot?: number;
  readonly priority?: number;
  readonly unidirectional?: boolean;
  /** Of the direction that the frame goes in; by default one in which no header block went before. */
  readonly compressor?: Pick<HeaderCompressor, 'compress'>;
}

export function clearSyn(streamId: number, headers: HeaderList, options: SynOptions = {}): Uint8Array {
  const { fin = false, slot = 0, priority = 3, compressor = new HeaderCompressor() } = options;
  const { unidirectional = false } = options;
  return encodeControl({
    ...{ type: 'syn-stream', streamId, associatedId: 0, priority, slot, fin },
    ...{ unidirectional, payloadOutside: false },
    block: compressor.compress(encodeHeaderBlock(headers)),
  });
}

export function clearReply(streamId: number, headers: HeaderList, fin = false): Uint8Array {
  const block = new HeaderCompressor().compress(encodeHeaderBlock(headers));
  return encodeControl({ type: 'syn-reply', streamId, fin, block });
}

export function clearHeaders(streamId: number, headers: HeaderList): Uint8Array {
  const block = new HeaderCompressor().compress(encodeHeaderBlock(headers));
  return encodeControl({ type: 'headers', streamId, fin: false, block });
}

export function clearData(streamId: number, text: string, fin = false): Uint8Array {
  return Buffer.concat([encodeDataHead(streamId, fin, text.length), Buffer.from(text)]);
}

/** An answer that says 200, and its body. */
export function clearAnswer(streamId: number, text: string): Uint8Array {
  const head = clearReply(streamId, [
    [':status', '200 OK'],
    [':version', 'HTTP/1.1'],
  ]);
  return Buffer.concat([head, clearData(streamId, text, true)]);
}

/** A compressor in the state of the one whose blocks have gone over the wire. */
export function compressorAfter(wire: Wire, way: Way): HeaderCompressor {
  const compressor = new HeaderCompressor();
  const decompressor = new HeaderDecompressor();
  for (const { way: went, frame } of wire.seen) {
    if (went === way && frame !== undefined && 'block' in frame) {
      compressor.compress(decompressor.decompress(frame.block));
    }
  }
  return compressor;
}
