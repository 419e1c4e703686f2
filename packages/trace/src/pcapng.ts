import type { ByteReader } from './byte-reader.ts';
import { MAX_PACKET, type Packet } from './capture-file.ts';
import { CaptureError } from './errors.ts';

const BLOCK = { SECTION: 0x0a0d0d0a, INTERFACE: 1, SIMPLE_PACKET: 3, ENHANCED_PACKET: 6 };
const OPTION_TIME_RESOLUTION = 9;
const MICROSECONDS = 1_000_000n;
/** Of those that a Date can be, in milliseconds since 1970. */
const LAST_DATE = 8.64e15;

interface Interface {
  readonly linkType: number;
  /** Ticks in a second. */
  readonly resolution: bigint;
}

/** Reads what follows the first block type of a pcapng file (draft-ietf-opsawg-pcapng). Blocks of other kinds are skipped. */
export async function* readPcapng(reader: ByteReader): AsyncGenerator<Packet> {
  let interfaces: Interface[] = [];
  let little = false;
  const u16 = (bytes: Buffer, at: number): number =>
    little ? bytes.readUInt16LE(at) : bytes.readUInt16BE(at);
  const u32 = (bytes: Buffer, at: number): number =>
    little ? bytes.readUInt32LE(at) : bytes.readUInt32BE(at);
  let type: number | undefined = BLOCK.SECTION;
  let length: Buffer | undefined = await reader.take(4);
  for (;;) {
    if (length === undefined) return;
    let order: Buffer | undefined;
    if (type === BLOCK.SECTION) {
      // Each section says its own byte order, in the field that follows the length.
      order = await reader.take(4);
      if (order === undefined) return;
      little = order[0] === 0x4d;
      interfaces = [];
    }
    const total = u32(length, 0);
    const rest = total - 12 - (order?.length ?? 0);
    if (rest < 0 || rest > MAX_PACKET + 256) {
      throw new CaptureError(`the capture is damaged: a block of ${total} bytes`);
    }
    const body = await reader.take(rest);
    if (body === undefined || (await reader.take(4)) === undefined) return;
    if (type === BLOCK.INTERFACE) {
      if (rest < 8) throw new CaptureError('the capture is damaged: an interface without a link type');
      interfaces.push({ linkType: u16(body, 0), resolution: resolutionOf(body.subarray(8), u16) });
    } else if (type === BLOCK.ENHANCED_PACKET && rest >= 20) {
      const known = interfaces[u32(body, 0)];
      const captured = u32(body, 12);
      if (known === undefined || captured > rest - 20)
        throw new CaptureError('the capture is damaged: a packet of no interface, or longer than its block');
      const ticks = (BigInt(u32(body, 4)) << 32n) + BigInt(u32(body, 8));
      const time = Number((ticks * 1_000_000n) / known.resolution) / 1000; // to the microsecond
      if (time > LAST_DATE) throw new CaptureError('the capture is damaged: a packet of no date');
      yield { time, linkType: known.linkType, data: body.subarray(20, 20 + captured) };
    } else if (type === BLOCK.SIMPLE_PACKET && rest >= 4 && interfaces[0] !== undefined) {
      yield { time: 0, linkType: interfaces[0].linkType, data: body.subarray(4, 4 + u32(body, 0)) };
    }
    const head = await reader.take(8);
    // The type of a section reads the same in either order.
    type = head && u32(head, 0);
    length = head?.subarray(4);
  }
}

function resolutionOf(options: Buffer, u16: (bytes: Buffer, at: number) => number): bigint {
  for (let at = 0; at + 4 <= options.length; ) {
    const [code, length] = [u16(options, at), u16(options, at + 2)];
    const value = options[at + 4];
    if (code === 0) break;
    if (code === OPTION_TIME_RESOLUTION && length === 1 && value !== undefined) {
      return value & 0x80 ? 2n ** BigInt(value & 0x7f) : 10n ** BigInt(value);
    }
    at += 4 + length + ((4 - (length % 4)) % 4);
  }
  return MICROSECONDS;
}
