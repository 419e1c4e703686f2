import { Readable } from 'node:stream';
import { type Packet, readCapture } from '../src/index.ts';

/** All packets of a capture that comes in pieces of `size` bytes. */
export async function packetsOf(file: Buffer, size = file.length || 1): Promise<Packet[]> {
  const pieces: Buffer[] = [];
  for (let at = 0; at < file.length; at += size) pieces.push(file.subarray(at, at + size));
  const packets: Packet[] = [];
  for await (const packet of readCapture(Readable.from(pieces))) packets.push(packet);
  return packets;
}

/** A pcap file of packets, in either byte order and resolution. */
export function pcap(
  packets: readonly Buffer[],
  { little = true, nano = false, linkType = 1 }: { little?: boolean; nano?: boolean; linkType?: number } = {},
): Buffer {
  const u32 = (value: number): Buffer => word(value, little);
  const version = little ? [2, 0, 4, 0] : [0, 2, 0, 4];
  const head = [
    u32(nano ? 0xa1b23c4d : 0xa1b2c3d4),
    Buffer.from(version),
    u32(0),
    u32(0),
    u32(65_535),
    u32(linkType),
  ];
  const records = packets.flatMap((packet) => [
    ...[u32(1_700_000_000), u32(nano ? 250_000_000 : 250_000), u32(packet.length), u32(packet.length)],
    packet,
  ]);
  return Buffer.concat([...head, ...records]);
}

/** A pcapng file with one section and one interface. `resolution` as the option has it. */
export function pcapng(
  packets: readonly Buffer[],
  {
    little = true,
    linkType = 1,
    resolution,
  }: { little?: boolean; linkType?: number; resolution?: number } = {},
): Buffer {
  const u32 = (value: number): Buffer => word(value, little);
  const u16 = (value: number): Buffer => (little ? u32(value).subarray(0, 2) : u32(value).subarray(2));
  const block = (type: number, body: Buffer): Buffer => {
    const padded = Buffer.concat([body, Buffer.alloc((4 - (body.length % 4)) % 4)]);
    const length = u32(padded.length + 12);
    return Buffer.concat([u32(type), length, padded, length]);
  };
  const option =
    resolution === undefined
      ? Buffer.alloc(0)
      : Buffer.concat([u16(9), u16(1), Buffer.from([resolution, 0, 0, 0]), u32(0)]);
  const ticks =
    1_700_000_000n * BigInt(resolution === 9 ? 1e9 : 1e6) + BigInt(resolution === 9 ? 25e7 : 25e4);
  const time = Buffer.concat([u32(Number(ticks >> 32n)), u32(Number(ticks & 0xffffffffn))]);
  return Buffer.concat([
    block(0x0a0d0d0a, Buffer.concat([u32(0x1a2b3c4d), u16(1), u16(0), Buffer.alloc(8, 0xff)])),
    block(1, Buffer.concat([u16(linkType), u16(0), u32(0), option])),
    block(5, Buffer.alloc(12)), // statistics: to be skipped
    ...packets.map((packet) =>
      block(6, Buffer.concat([u32(0), time, u32(packet.length), u32(packet.length), packet])),
    ),
  ]);
}

function word(value: number, little: boolean): Buffer {
  const bytes = Buffer.alloc(4);
  if (little) bytes.writeUInt32LE(value >>> 0);
  else bytes.writeUInt32BE(value >>> 0);
  return bytes;
}
