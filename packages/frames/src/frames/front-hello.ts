import { requireInteger } from '../checks.ts';
import { MAX_WINDOW_DELTA, TYPE } from '../constants.ts';
import { fieldMisuse, malformed } from '../errors.ts';
import type { Reader } from '../reader.ts';
import { controlFrame } from '../writer.ts';

/**
 * What a front says first on a link (spec 10.5): for whom the link is, and what the client has been told.
 *
 *     version (8) | address length (8) | port (16) | streams (32) | stream window (32) | key window (32) | address
 */
export interface FrontHello {
  readonly type: 'front-hello';
  /** The address that the client connects from, up to 64 visible ASCII characters; empty if it has none. */
  readonly address: string;
  /** Its port; 0 if it has none. */
  readonly port: number;
  /** MAX_CONCURRENT_STREAMS as the client was told it. */
  readonly maxConcurrentStreams: number;
  /** INITIAL_WINDOW_SIZE as the client was told it, in bytes. */
  readonly streamWindow: number;
  /** The most that the front holds room for: the session window of a key MUST NOT be made larger, in bytes. */
  readonly keyWindow: number;
}

export function parseFrontHello(_flags: number, body: Reader): FrontHello {
  const version = body.u8();
  if (version !== LINK_VERSION) throw malformed(`a link of version ${version}, not ${LINK_VERSION}`);
  const addressLength = body.u8();
  const port = body.u16();
  const [maxConcurrentStreams, streamWindow, keyWindow] = [body.u32(), body.u32(), body.u32()];
  const address = String.fromCharCode(...body.take(addressLength));
  body.expectEnd();
  const windows = [streamWindow, keyWindow];
  if (!isAddress(address) || windows.some((size) => size < SMALLEST_WINDOW || size > MAX_WINDOW_DELTA)) {
    throw malformed('FRONT_HELLO with an address or a window out of its range');
  }
  return { type: 'front-hello', address, port, maxConcurrentStreams, streamWindow, keyWindow };
}

export function encodeFrontHello(frame: FrontHello): Uint8Array {
  const { address, port, maxConcurrentStreams, streamWindow, keyWindow } = frame;
  if (!isAddress(address))
    throw fieldMisuse(`FRONT_HELLO address must be up to ${MAX_ADDRESS} visible characters`);
  requireInteger('FRONT_HELLO port', port, 0, 0xffff);
  requireInteger('FRONT_HELLO streams', maxConcurrentStreams, 0, 0xffff_ffff);
  requireInteger('FRONT_HELLO stream window', streamWindow, SMALLEST_WINDOW, MAX_WINDOW_DELTA);
  requireInteger('FRONT_HELLO key window', keyWindow, SMALLEST_WINDOW, MAX_WINDOW_DELTA);
  return controlFrame(TYPE.FRONT_HELLO, 0, 16 + address.length)
    .u8(LINK_VERSION)
    .u8(address.length)
    .u16(port)
    .u32(maxConcurrentStreams)
    .u32(streamWindow)
    .u32(keyWindow)
    .bytes(Uint8Array.from(address, (character) => character.charCodeAt(0)))
    .finish();
}

function isAddress(text: string): boolean {
  return text.length <= MAX_ADDRESS && /^[\x21-\x7e]*$/.test(text);
}

/** Longest address, in characters. */
export const MAX_ADDRESS = 64;
const LINK_VERSION = 1;
const SMALLEST_WINDOW = 65_536;
