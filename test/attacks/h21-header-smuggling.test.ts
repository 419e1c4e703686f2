import { encodeControl, HeaderCompressor } from '@keymux/frames';
import { afterEach, describe, expect, test } from 'vitest';
import { ANNOUNCEMENT, Attacker } from '../support/attacker.ts';
import { Scope } from '../support/scope.ts';
import { ALPHA, BETA, setVictims } from '../support/victims.ts';

const scope = new Scope();
afterEach(() => scope.close());

type Pairs = readonly (readonly [string, string])[];

/** A header block, whatever is in it. */
function block(pairs: Pairs): Buffer {
  const parts: Buffer[] = [];
  const uint32 = (value: number) => {
    const bytes = Buffer.alloc(4);
    bytes.writeUInt32BE(value);
    parts.push(bytes);
  };
  uint32(pairs.length);
  for (const text of pairs.flat()) {
    uint32(Buffer.byteLength(text, 'latin1'));
    parts.push(Buffer.from(text, 'latin1'));
  }
  return Buffer.concat(parts);
}

const GOOD: Pairs = [
  [':method', 'GET'],
  [':path', '/'],
  [':version', 'HTTP/1.1'],
  [':host', ALPHA],
  [':scheme', 'http'],
];
const plus = (...more: Pairs): Pairs => [...GOOD, ...more];
const but = (name: string, value?: string): Pairs =>
  GOOD.flatMap(
    ([key, old]): Pairs => (key !== name ? [[key, old]] : value === undefined ? [] : [[key, value]]),
  );

/** Header lists that some parser reads in another way than the next one. */
const CORPUS: Pairs[] = [
  // line ends and other controls
  plus(['x', 'a\r\nhost: evil']),
  plus(['x', 'a\nb']),
  plus(['x', 'a\rb']),
  plus(['x', 'a\r']),
  plus(['x', '\nb']),
  plus(['x\r\ny', 'b']),
  plus(['x\ny', 'b']),
  plus(['x\0y', 'b']),
  plus(['x', '\0']),
  plus(['x', 'a\0']),
  plus(['x', '\0a']),
  plus(['x', 'a\0\0b']),
  // names
  plus(['', 'a']),
  plus([' x', 'a']),
  plus(['x ', 'a']),
  plus(['x y', 'a']),
  plus(['x:', 'a']),
  plus(['x:y', 'a']),
  plus(['X', 'a']),
  plus(['Content-Length', '0']),
  plus(['x\ty', 'a']),
  plus(['x(', 'a']),
  plus(['x"', 'a']),
  plus(['x\u007f', 'a']),
  plus(['\u00e4', 'a']),
  plus([':', 'a']),
  plus(['::method', 'GET']),
  // values
  plus(['x', ' a']),
  plus(['x', 'a ']),
  plus(['x', '\ta']),
  plus(['x', 'a\t']),
  // names twice
  plus(['x', 'a'], ['x', 'b']),
  plus(['cookie', 'a=1'], ['cookie', 'b=2']),
  plus([':host', BETA]),
  plus([':path', '/other']),
  plus([':method', 'POST']),
  plus(['content-length', '1'], ['content-length', '2']),
  // pseudo headers
  but(':method'),
  but(':path'),
  but(':host'),
  but(':method', 'get'),
  but(':method', 'GET /x HTTP/1.1'),
  but(':method', 'G\u00c4T'),
  but(':method', ''),
  but(':method', `G${'E'.repeat(40)}T`),
  but(':path', ''),
  but(':path', 'x'),
  but(':path', 'http://evil.test/'),
  but(':path', '/a b'),
  but(':path', '/\u00e4'),
  but(':path', '/a\u007f'),
  but(':host', ''),
  but(':host', `${ALPHA} evil`),
  but(':host', `${ALPHA}@evil.test`),
  but(':host', `${ALPHA}/`),
  but(':host', `${ALPHA}:80:90`),
  but(':host', `${ALPHA}:`),
  but(':host', `${ALPHA}\0${BETA}`),
  but(':path', '/\0/other'),
  plus([':authority', ALPHA]),
  plus([':status', '200']),
  plus([':protocol', 'websocket']),
  plus(['host', BETA]),
  plus(['host', ALPHA]),
];

/** Each on a stream of its own; which of them were refused, and how. */
async function play(lists: readonly Pairs[]) {
  const victims = await setVictims(scope);
  const attacker = await Attacker.connect(scope, victims.port);
  const compressor = new HeaderCompressor();
  const frames = lists.map((pairs, index) =>
    encodeControl({
      ...{ type: 'syn-stream', streamId: 2 * index + 1, associatedId: 0, priority: 3, slot: 0, fin: true },
      ...{ unidirectional: false, payloadOutside: false },
      block: compressor.compress(block(pairs)),
    }),
  );
  attacker.send(ANNOUNCEMENT, ...frames);
  const last = 2 * lists.length - 1;
  while (!attacker.resets.has(last) && !attacker.replies.has(last)) await new Promise(setImmediate);
  return { victims, attacker };
}

describe('H21: header smuggling', () => {
  test('control: what is right is served', async () => {
    const { attacker, victims } = await play([
      GOOD,
      plus(['x', 'a\0b']),
      but(':host', `${ALPHA}:8080`),
      plus(['x', '']),
    ]);
    expect([...attacker.replies.values()]).toEqual(['200 OK', '200 OK', '200 OK', '200 OK']);
    expect(victims.delivered).toHaveLength(4);
  });

  test('60 heads that parsers read differently: each is refused, and the session lives', async () => {
    expect(CORPUS.length).toBeGreaterThanOrEqual(60);
    const { attacker, victims } = await play([...CORPUS, GOOD]);
    for (const [index, pairs] of CORPUS.entries()) {
      const answer = attacker.replies.get(2 * index + 1) ?? attacker.resets.get(2 * index + 1);
      expect(answer, JSON.stringify(pairs)).toSatisfy((got) => got === 1 || got === '400 Bad Request');
    }
    expect(victims.delivered).toHaveLength(1);
    expect(attacker.goaways).toEqual([]);
  });

  test('headers of one hop are not passed on', async () => {
    const hop = [
      'connection',
      'keep-alive',
      'proxy-connection',
      'te',
      'trailer',
      'transfer-encoding',
      'upgrade',
    ];
    const { victims } = await play([plus(...hop.map((name) => [name, 'chunked'] as const), ['x', 'a'])]);
    expect(victims.delivered[0]?.headers).toEqual([['x', 'a']]);
  });

  const length = (bytes: number): Buffer => {
    const number = Buffer.alloc(4);
    number.writeUInt32BE(bytes);
    return number;
  };
  test.each<[string, (whole: Buffer) => Buffer]>([
    ['a pair more than there is', (whole) => Buffer.concat([length(6), whole.subarray(4)])],
    ['a pair less', (whole) => Buffer.concat([length(4), whole.subarray(4)])],
    ['2^32 - 1 pairs', (whole) => Buffer.concat([length(2 ** 32 - 1), whole.subarray(4)])],
    [
      'a name of 2^31 bytes',
      (whole) => Buffer.concat([whole.subarray(0, 4), length(2 ** 31), whole.subarray(8)]),
    ],
    ['bytes behind the end', (whole) => Buffer.concat([whole, Buffer.alloc(1)])],
    ['cut off', (whole) => whole.subarray(0, -1)],
    ['nothing at all', () => Buffer.alloc(0)],
  ])('a block with %s is refused', async (_what, damage) => {
    const { port, delivered } = await setVictims(scope);
    const attacker = await Attacker.connect(scope, port);
    attacker.send(
      ANNOUNCEMENT,
      encodeControl({
        ...{ type: 'syn-stream', streamId: 1, associatedId: 0, priority: 3, slot: 0, fin: true },
        ...{ unidirectional: false, payloadOutside: false },
        block: new HeaderCompressor().compress(damage(block(GOOD))),
      }),
    );
    while (attacker.resets.size + attacker.goaways.length === 0) await new Promise(setImmediate);
    expect(delivered).toEqual([]);
  });
});
