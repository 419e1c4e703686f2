import { describe, expect, test } from 'vitest';
import { CaptureError } from '../src/index.ts';
import { packetsOf, pcap, pcapng } from './captures.ts';

const PACKETS = [Buffer.from('first'), Buffer.alloc(0), Buffer.alloc(1501, 7)];
const TIME = 1_700_000_000_250;

const FORMATS = [
  ['pcap', pcap(PACKETS)],
  ['pcap, big-endian', pcap(PACKETS, { little: false })],
  ['pcap, nanoseconds', pcap(PACKETS, { nano: true })],
  ['pcap, big-endian, nanoseconds', pcap(PACKETS, { little: false, nano: true })],
  ['pcapng', pcapng(PACKETS)],
  ['pcapng, big-endian', pcapng(PACKETS, { little: false })],
  ['pcapng, nanoseconds', pcapng(PACKETS, { resolution: 9 })],
  ['pcapng of two sections', Buffer.concat([pcapng([]), pcapng(PACKETS, { little: false })])],
] as const;

describe.each(FORMATS)('%s', (_name, file) => {
  test.each([1, 7, 4096])('is read in pieces of %i bytes', async (size) => {
    const packets = await packetsOf(file, size);
    expect(packets.map(({ data }) => data)).toEqual(PACKETS);
    expect(packets.map(({ time, linkType }) => [time, linkType])).toEqual(PACKETS.map(() => [TIME, 1]));
  });

  test('that was cut off ends where it was cut', async () => {
    let last = 0;
    for (let length = 24; length < file.length; length += 13) {
      const packets = await packetsOf(file.subarray(0, length));
      expect(packets.length).toBeGreaterThanOrEqual(last);
      last = packets.length;
      for (const [index, { data }] of packets.entries()) expect(data).toEqual(PACKETS[index]);
    }
    expect(last).toBeLessThan(PACKETS.length + 1);
  });
});

const HUGE = Buffer.from('ffffff7f', 'hex');

test.each([
  ['nothing', Buffer.alloc(0), 'empty'],
  ['three bytes', Buffer.alloc(3), 'empty'],
  ['text', Buffer.from('#!/bin/sh\n'), 'no capture'],
  ['a pcap that ends inside its head', pcap([]).subarray(0, 20), 'ends inside its head'],
  ['a packet that is longer than packets are', Buffer.concat([pcap([]), Buffer.alloc(8), HUGE]), ''],
  [
    'a block that is too short',
    Buffer.concat([pcapng([]), Buffer.from('060000000b000000', 'hex')]),
    'a block of 11',
  ],
  [
    'a block that is too long',
    Buffer.concat([pcapng([]), Buffer.from('06000000ffffff7f', 'hex')]),
    'a block of',
  ],
  // Ticks of microseconds, said to be seconds.
  ['a packet of no date', pcapng([Buffer.from('data')], { resolution: 0 }), 'no date'],
])('%s is refused', async (_what, file, message) => {
  const damaged = message === '' ? Buffer.concat([file, Buffer.alloc(8)]) : file;
  await expect(packetsOf(damaged)).rejects.toThrow(CaptureError);
  await expect(packetsOf(damaged)).rejects.toThrow(message || 'damaged');
});

test('a packet of an interface that was not described is refused', async () => {
  const packet = pcapng([Buffer.from('data')]);
  const withoutInterface = Buffer.concat([packet.subarray(0, 28), packet.subarray(28 + 20 + 24)]);
  await expect(packetsOf(withoutInterface)).rejects.toThrow('no interface');
});
