import { flip, hex, KEY_FILE, random } from './key-vector-parts.ts';
import { cat, P } from './reference-keys.ts';
import { type RawInputs, rawPacket, rawRun } from './reference-spiped.ts';

/** Makes spec/vectors/spiped-raw.json; packages/keys/test/spiped-raw.test.ts runs it. */
export function rawSpipedVectors() {
  const inputs = {
    keyFile: KEY_FILE,
    ...{ nonceC: random('nonce_C'), nonceS: random('nonce_S'), xC: random('x_C'), xS: random('x_S') },
  };
  const { valueC, valueS, dk2 } = rawRun(inputs);
  const directions = { client: dk2.subarray(0, 64), server: dk2.subarray(64) };
  const [first, second] = [Buffer.from('hello'), Buffer.alloc(1024, 0xa5)];
  const packets = [first, second, Buffer.of(0)].map((payload, index) => ({
    payload: hex(payload),
    packet: hex(rawPacket(directions.client, index, payload)),
  }));
  const one = rawPacket(directions.client, 0, first);
  const lie = (name: 'yC' | 'yS', y: bigint) => rawRun({ ...inputs, [name]: y } satisfies RawInputs);
  const edges: [string, bigint][] = [
    ['0', 0n],
    ['1, which is how spiped does without forward secrecy', 1n],
    ['p - 1', P - 1n],
    ['p', P],
    ['p + 2', P + 2n],
  ];
  const otherKey = rawRun({ ...inputs, keyFile: random('another key file') });
  return {
    about: [
      'Vectors for the protocol of spiped: spec chapter 11. Bytes are in hexadecimal.',
      'Each side draws its nonce, and then the 256 random bits of its exponent. valueC is y_C || h_C, valueS is y_S || h_S.',
      'packets: the first packets of each direction, numbered from 0. late: a packet further on.',
      'handshakeRefusals: `message` in the place of the value that side `to` waits for. packetRefusals: `packet` as the first one from the client, or after `after` packets of it. The connection ends, whatever the cause; `why` is for people.',
    ],
    keyFile: hex(KEY_FILE),
    nonceC: hex(inputs.nonceC),
    nonceS: hex(inputs.nonceS),
    xC: hex(inputs.xC),
    xS: hex(inputs.xS),
    valueC: hex(valueC),
    valueS: hex(valueS),
    dk2: hex(dk2),
    packets: {
      client: packets,
      server: [{ payload: hex(first), packet: hex(rawPacket(directions.server, 0, first)) }],
    },
    late: {
      number: 2 ** 32 + 5,
      payload: hex(first),
      packet: hex(rawPacket(directions.client, 2 ** 32 + 5, first)),
    },
    handshakeRefusals: [
      ...edges.flatMap(([why, y]) => [
        { to: 'server', why: `y_C = ${why}`, message: hex(lie('yC', y).valueC) },
        { to: 'client', why: `y_S = ${why}`, message: hex(lie('yS', y).valueS) },
      ]),
      { to: 'server', why: 'made with another key', message: hex(otherKey.valueC) },
      { to: 'client', why: 'made with another key', message: hex(otherKey.valueS) },
      { to: 'server', why: 'the value of the server', message: hex(valueS) },
      { to: 'client', why: 'its own value, reflected', message: hex(valueC) },
      { to: 'server', why: 'y_C changed', message: hex(flip(valueC, 100)) },
      { to: 'server', why: 'h_C changed in its last bit', message: hex(flip(valueC, 287)) },
      { to: 'client', why: 'h_S changed', message: hex(flip(valueS, 256)) },
    ],
    packetRefusals: [
      { why: 'the first byte changed', packet: hex(flip(one, 0)) },
      { why: 'padding changed', packet: hex(flip(one, 1000)) },
      { why: 'the length changed', packet: hex(flip(one, 1027)) },
      { why: 'the tag changed in its first byte', packet: hex(flip(one, 1028)) },
      { why: 'the tag changed in its last bit', packet: hex(flip(one, 1059)) },
      { why: 'of the other direction', packet: hex(rawPacket(directions.server, 0, first)) },
      { why: 'the second one first', packet: packets[1]?.packet },
      { why: 'the first one again', packet: hex(one), after: 1 },
      { why: 'one is missing', packet: packets[2]?.packet, after: 1 },
      {
        why: 'no payload, by a holder of the key',
        packet: hex(rawPacket(directions.client, 0, Buffer.alloc(0))),
      },
      {
        why: '1,025 bytes, by a holder of the key',
        packet: hex(rawPacket(directions.client, 0, second, 1025)),
      },
      {
        why: '2^31 bytes, by a holder of the key',
        packet: hex(rawPacket(directions.client, 0, first, 2 ** 31)),
      },
      { why: 'a tag of somebody without the key', packet: hex(cat(one.subarray(0, 1028), random('tag'))) },
    ],
  };
}
