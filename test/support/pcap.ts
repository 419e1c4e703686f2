import type { Capture } from './wiretap.ts';

/** The server's port in the packets; the client's is 50,000 unless another is asked for. */
export const PCAP_PORT = 6121;
const CLIENT_PORT = 50_000;
const CLIENT = [10, 0, 0, 1];
const SERVER = [10, 0, 0, 2];
/** Raw IP packets, no link layer. */
const LINKTYPE_RAW = 101;
const MAX_SEGMENT = 60_000;
const FLAGS = { FIN: 1, SYN: 2, ACK: 16 };

/** A capture as the file that tcpdump would have written of it. */
export function pcapOf({ sequence: passed }: Pick<Capture, 'sequence'>, clientPort = CLIENT_PORT): Buffer {
  const file = Buffer.alloc(24);
  file.writeUInt32LE(0xa1b2c3d4, 0);
  file.writeUInt16LE(2, 4);
  file.writeUInt16LE(4, 6);
  file.writeUInt32LE(0x40000, 16);
  file.writeUInt32LE(LINKTYPE_RAW, 20);
  const records: Buffer[] = [file];
  const sequence = { up: 0, down: 0 };
  const send = (direction: 'up' | 'down', flags: number, payload: Buffer = Buffer.alloc(0)): void => {
    const other = direction === 'up' ? 'down' : 'up';
    const packet = ipPacket(direction, clientPort, sequence[direction], sequence[other], flags, payload);
    const head = Buffer.alloc(16);
    head.writeUInt32LE(1_700_000_000, 0);
    head.writeUInt32LE(records.length, 4);
    head.writeUInt32LE(packet.length, 8);
    head.writeUInt32LE(packet.length, 12);
    records.push(head, packet);
    sequence[direction] += payload.length + (flags & (FLAGS.SYN | FLAGS.FIN) ? 1 : 0);
  };
  send('up', FLAGS.SYN);
  send('down', FLAGS.SYN | FLAGS.ACK);
  send('up', FLAGS.ACK);
  for (const { direction, bytes } of passed)
    for (let at = 0; at < bytes.length; at += MAX_SEGMENT)
      send(direction, FLAGS.ACK, bytes.subarray(at, at + MAX_SEGMENT));
  send('up', FLAGS.FIN | FLAGS.ACK);
  send('down', FLAGS.FIN | FLAGS.ACK);
  return Buffer.concat(records);
}

function ipPacket(
  direction: 'up' | 'down',
  clientPort: number,
  sequence: number,
  acknowledged: number,
  flags: number,
  payload: Buffer,
): Buffer {
  const packet = Buffer.alloc(40);
  const ports = direction === 'up' ? [clientPort, PCAP_PORT] : [PCAP_PORT, clientPort];
  packet[0] = 0x45;
  packet.writeUInt16BE(40 + payload.length, 2);
  packet[8] = 64;
  packet[9] = 6;
  packet.set(direction === 'up' ? [...CLIENT, ...SERVER] : [...SERVER, ...CLIENT], 12);
  packet.writeUInt16BE(ports[0] as number, 20);
  packet.writeUInt16BE(ports[1] as number, 22);
  packet.writeUInt32BE(sequence, 24);
  packet.writeUInt32BE(flags & FLAGS.ACK ? acknowledged : 0, 28);
  packet[32] = 0x50;
  packet[33] = flags;
  packet.writeUInt16BE(65_535, 34);
  return Buffer.concat([packet, payload]);
}
