import { Readable } from 'node:stream';
import { formatKeyLogEntry, parseKeyLog } from '@keymux/keys';
import { CaptureError, readCapture, traceCapture } from '@keymux/trace';
import fc from 'fast-check';
import { FRAMES } from '../../support/frame-arbitraries.ts';
import { referenceEncode } from '../../support/reference-codec.ts';
import { CUTS, cut, DAMAGE, damaged, must } from '../checks.ts';
import { frameJson, frameLines, pcap, pcapng } from '../internals.ts';
import { target } from '../target.ts';

interface Case {
  readonly file: Uint8Array;
  readonly cuts: readonly number[];
}

const KEY_LOG = parseKeyLog(
  formatKeyLogEntry({
    keyId: 1,
    generation: 0,
    from: 'client',
    key: new Uint8Array(32),
    iv: new Uint8Array(12),
  }),
);

/** A TCP segment in an IPv4 packet in an Ethernet frame. */
function packet(fromClient: boolean, sequence: number, flags: number, payload: Uint8Array): Buffer {
  const head = Buffer.alloc(54);
  head.writeUInt16BE(0x0800, 12);
  head[14] = 0x45;
  head.writeUInt16BE(Math.min(65_535, 40 + payload.length), 16);
  head[23] = 6;
  const [from, to] = fromClient ? [1, 2] : [2, 1];
  head.set([10, 0, 0, from, 10, 0, 0, to], 26);
  head.writeUInt16BE(fromClient ? 4000 : 6121, 34);
  head.writeUInt16BE(fromClient ? 6121 : 4000, 36);
  head.writeUInt32BE(sequence >>> 0, 38);
  head[46] = 0x50;
  head[47] = flags;
  return Buffer.concat([head, payload]);
}

const begin = fc.oneof(
  { weight: 4, arbitrary: fc.constant('') },
  fc.constantFrom(
    'GET / HTTP/1.1\r\nupgrade: websocket\r\n\r\n',
    'GET / HTTP/1.1\r\nUpgrade: SPDY/3.1\r\n\r\n',
    'SSH-2.0-x\r\n',
    'HTTP/1.1 101 x\r\n\r\n',
  ),
);
const speech = fc
  .tuple(begin, fc.array(FRAMES.outside, { maxLength: 4 }), fc.boolean())
  .map(([head, frames, websocket]) => {
    const bytes = Buffer.concat(frames.map(referenceEncode));
    const length = Buffer.of(0x82, 126, bytes.length >> 8, bytes.length & 255);
    return Buffer.concat([Buffer.from(head), ...(websocket && head !== '' ? [length] : []), bytes]);
  });

const packets = fc
  .tuple(speech, speech, fc.nat(60), fc.array(fc.nat(5), { maxLength: 6 }))
  .map(([client, server, cutAt, order]) => {
    const first = 0xffff_ffe0; // so that sequence numbers wrap around
    const pieces = [
      packet(true, first + 1, 0x18, client.subarray(0, cutAt)),
      packet(true, first + 1 + cutAt, 0x18, client.subarray(cutAt)),
      packet(false, first + 1, 0x18, server),
      packet(true, first + 1 + client.length, 0x11, Buffer.alloc(0)),
      packet(false, first + 1 + server.length, 0x11, Buffer.alloc(0)),
      packet(true, first + 1, 0x04, Buffer.alloc(0)),
    ];
    const opening = [packet(true, first, 0x02, Buffer.alloc(0)), packet(false, first, 0x12, Buffer.alloc(0))];
    return [...opening, ...order.map((index) => pieces[index] as Buffer), ...pieces.slice(0, 5)];
  });

/** Any capture, sound or damaged, gives records that can be printed, and an end or a CaptureError. */
export const capture = target<Case>({
  name: 'capture',
  cases: fc.record({
    file: fc
      .tuple(packets, fc.nat(3), fc.boolean(), fc.array(DAMAGE, { maxLength: 4 }))
      .map(([list, kind, little, damage]) => {
        const made =
          kind < 2
            ? pcap(list, { little, nano: kind === 1 })
            : pcapng(list, { little, resolution: 3 * kind });
        return damaged(made, damage);
      }),
    cuts: CUTS,
  }),
  check: async ({ file, cuts }) => {
    let bytes = 0;
    try {
      const source = Readable.from(cut(file, cuts));
      for await (const record of traceCapture(readCapture(source), { keyLog: KEY_LOG, payload: true })) {
        must(frameLines(record) !== '' && frameJson(record) !== '', 'a record can be printed');
        bytes += record.type === 'ERROR' ? 0 : record.bytes;
      }
    } catch (error) {
      if (!(error instanceof CaptureError)) throw error;
    }
    must(bytes <= file.length, 'no byte is shown twice');
  },
  runs: 120,
});
