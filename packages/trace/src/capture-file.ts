import { ByteReader } from './byte-reader.ts';
import { CaptureError } from './errors.ts';
import { readPcap } from './pcap.ts';
import { readPcapng } from './pcapng.ts';

/** One packet as it was captured. */
export interface Packet {
  /** Milliseconds since 1970-01-01 UTC. */
  readonly time: number;
  /** Of tcpdump's LINKTYPE_ list. */
  readonly linkType: number;
  readonly data: Buffer;
}

/** More than any link carries; a larger claim is a damaged file. */
export const MAX_PACKET = 1024 * 1024;

/**
 * The packets of a capture: pcap or pcapng, as tcpdump and tshark write them. A capture that was cut off ends where it was cut. Throws
 * CaptureError if it is neither, or damaged.
 */
export async function* readCapture(source: AsyncIterable<Uint8Array>): AsyncGenerator<Packet> {
  const reader = new ByteReader(source);
  const magic = await reader.take(4);
  if (magic === undefined) throw new CaptureError('the capture is empty');
  switch (magic.readUInt32BE()) {
    case 0xa1b2c3d4:
    case 0xd4c3b2a1:
    case 0xa1b23c4d:
    case 0x4d3cb2a1:
      yield* readPcap(magic, reader);
      return;
    case 0x0a0d0d0a:
      yield* readPcapng(reader);
      return;
    default:
      throw new CaptureError('this is no capture: give a file as tcpdump -w or tshark -w writes it');
  }
}
