import { expect, test } from 'vitest';
import { segmentOf } from '../src/segment.ts';

const TCP = Buffer.concat([
  Buffer.from('c35017e9000000010000000250180000', 'hex'), // 50000 to 6121, sequence 1, PSH and ACK
  Buffer.alloc(4),
  Buffer.from('payload'),
]);
const IPV4 = Buffer.concat([
  Buffer.from('450000', 'hex'),
  Buffer.from([20 + TCP.length]),
  Buffer.from('00004000400600000a000001c0a80002', 'hex'),
  TCP,
]);
const V6_ADDRESSES = Buffer.from('20010db8000000000000000000000001fe800000000000000000000000000abc', 'hex');
const ipv6 = (next: number, rest: Buffer): Buffer =>
  Buffer.concat([Buffer.from([0x60, 0, 0, 0, 0, rest.length, next, 64]), V6_ADDRESSES, rest]);
const IPV6 = ipv6(6, TCP);
const EXTENDED = ipv6(0, Buffer.concat([Buffer.from([6, 0, 0, 0, 0, 0, 0, 0]), TCP]));
const MACS = Buffer.alloc(12, 2);
const hex = (text: string): Buffer => Buffer.from(text, 'hex');

test.each([
  ['Ethernet', 1, Buffer.concat([MACS, hex('0800'), IPV4])],
  ['Ethernet with padding', 1, Buffer.concat([MACS, hex('0800'), IPV4, Buffer.alloc(9)])],
  ['Ethernet with a VLAN', 1, Buffer.concat([MACS, hex('8100002a0800'), IPV4])],
  ['Ethernet with two VLANs', 1, Buffer.concat([MACS, hex('88a8000181000002'), hex('0800'), IPV4])],
  ['loopback of BSD', 0, Buffer.concat([Buffer.alloc(4), IPV4])],
  ['raw IP', 101, IPV4],
  ['any, version 1', 113, Buffer.concat([Buffer.alloc(16), IPV4])],
  ['any, version 2', 276, Buffer.concat([Buffer.alloc(20), IPV4])],
])('%s is understood', (_name, linkType, data) => {
  expect(segmentOf({ time: 5, linkType, data })).toMatchObject({
    ...{ time: 5, from: '10.0.0.1:50000', to: '192.168.0.2:6121', sequence: 1 },
    ...{ syn: false, ack: true, fin: false, reset: false, payload: Buffer.from('payload') },
  });
});

test.each([
  ['IPv6', IPV6],
  ['IPv6 with a header more', EXTENDED],
])('%s is understood', (_name, data) => {
  expect(segmentOf({ time: 0, linkType: 101, data })).toMatchObject({
    from: '[2001:db8:0:0:0:0:0:1]:50000',
    to: '[fe80:0:0:0:0:0:0:abc]:6121',
    payload: Buffer.from('payload'),
  });
});

test.each([
  ['another link', 147, IPV4],
  ['ARP', 1, Buffer.concat([MACS, hex('0806'), IPV4])],
  ['UDP', 101, Buffer.concat([IPV4.subarray(0, 9), Buffer.from([17]), IPV4.subarray(10)])],
  ['a fragment', 101, Buffer.concat([IPV4.subarray(0, 6), hex('2001'), IPV4.subarray(8)])],
  ['nothing', 101, Buffer.alloc(0)],
  ['half a head', 101, IPV4.subarray(0, 30)],
  ['half a head of IPv6', 101, IPV6.subarray(0, 30)],
])('%s is passed over', (_name, linkType, data) => {
  expect(segmentOf({ time: 0, linkType, data })).toBeUndefined();
});
