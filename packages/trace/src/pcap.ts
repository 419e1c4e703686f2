import type { ByteReader } from './byte-reader.ts';
import { MAX_PACKET, type Packet } from './capture-file.ts';
import { CaptureError } from './errors.ts';

/** Reads what follows the magic number of a pcap file (draft-ietf-opsawg-pcap). */
export async function* readPcap(magic: Buffer, reader: ByteReader): AsyncGenerator<Packet> {
  const little = magic[3] === 0xa1;
  const nanoseconds = (little ? magic[0] : magic[3]) === 0x4d;
  const u32 = (bytes: Buffer, at: number): number =>
    little ? bytes.readUInt32LE(at) : bytes.readUInt32BE(at);
  const head = await reader.take(20);
  if (head === undefined) throw new CaptureError('the capture ends inside its head');
  const linkType = u32(head, 16) & 0xffff; // the upper half tells of checksums
  for (;;) {
    const record = await reader.take(16);
    if (record === undefined) return;
    const length = u32(record, 8);
    if (length > MAX_PACKET) throw new CaptureError(`the capture is damaged: a packet of ${length} bytes`);
    const data = await reader.take(length);
    if (data === undefined) return;
    const time = u32(record, 0) * 1000 + u32(record, 4) / (nanoseconds ? 1e6 : 1e3);
    yield { time, linkType, data };
  }
}
