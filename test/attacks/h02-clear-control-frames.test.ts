import { encodeControl, encodeKeyNego, type KeyNego } from '@keymux/frames';
import { ALGORITHM } from '@keymux/keys';
import { afterEach, describe, expect, test } from 'vitest';
import { clearData, clearHeaders, clearReply, clearRequest } from '../support/forge.ts';
import type { Way } from '../support/middle.ts';
import { Scope } from '../support/scope.ts';
import { ALPHA, expectKeyFailure, PIECES, setVictims } from '../support/victims.ts';

const scope = new Scope();
afterEach(() => scope.close());

const OK = [
  [':status', '200 OK'],
  [':version', 'HTTP/1.1'],
] as const;
const nego = (changed: Partial<KeyNego>): Uint8Array =>
  encodeKeyNego({
    type: 'key-nego',
    ...{ keyId: 5, algorithm: ALGORITHM.PSK_X25519, fin: true, reject: false, retire: false },
    data: new Uint8Array(100),
    ...changed,
  });

/** Frames that steer a stream, or the session. */
const STREAM: readonly (readonly [string, Uint8Array])[] = [
  ['RST_STREAM', encodeControl({ type: 'rst-stream', streamId: 1, status: 5 })],
  ['WINDOW_UPDATE of the stream', encodeControl({ type: 'window-update', streamId: 1, delta: 65_536 })],
  ['HEADERS', clearHeaders(1, [['x-forged', '1']])],
  ['SYN_REPLY', clearReply(1, OK)],
  ['DATA', clearData(1, 'FORGED')],
  ['DATA with FIN', clearData(1, 'FORGED', true)],
];
const SESSION: readonly (readonly [string, Uint8Array])[] = [
  ['GOAWAY', encodeControl({ type: 'goaway', lastGoodId: 0, status: 0 })],
  ['GOAWAY with an error', encodeControl({ type: 'goaway', lastGoodId: 0, status: 2 })],
  ['SETTINGS', encodeControl({ type: 'settings', clear: false, entries: [{ id: 4, value: 0, flags: 0 }] })],
  ['PING', encodeControl({ type: 'ping', id: 9 })],
  ['WINDOW_UPDATE of the session', encodeControl({ type: 'window-update', streamId: 0, delta: 65_536 })],
  ['KEY_NEGO', nego({})],
  ['REJECT', nego({ keyId: 1, reject: true, data: Uint8Array.of(2, 0) })],
  ['RETIRE', nego({ keyId: 1, retire: true, data: new Uint8Array(0) })],
];

/** A frame is forged while a sealed upload is on its way. */
async function attack(way: Way, frame: Uint8Array | undefined, authorities: readonly string[]) {
  const victims = await setVictims(scope);
  for (const authority of authorities.slice(0, -1)) await victims.key(authority);
  const key = await victims.key(ALPHA);
  const stream = victims.client.session.openStream(clearRequest('POST', ALPHA, '/pieces'), { key });
  const answered: Buffer[] = [];
  stream.on('data', (chunk: Buffer) => answered.push(chunk));
  const closed = new Promise((resolve) => stream.once('close', resolve));
  stream.write('half,');
  while (victims.delivered[0]?.received !== 'half,') await new Promise(setImmediate);
  if (frame) victims.middle.wire.send(way, frame);
  stream.end('half');
  await closed;
  return { victims, stream, answer: Buffer.concat(answered).toString() };
}

describe('H2: clear control frames steer sealed streams', () => {
  test('control: the upload ends well', async () => {
    const { victims, stream } = await attack('up', undefined, ['', ALPHA]);
    expect(stream.errored).toBeNull();
    expect(victims.delivered).toMatchObject([{ body: 'half,half', level: 'authenticated' }]);
  });

  describe.each(['up', 'down'] as const)('%s', (way) => {
    test.each([...STREAM, ...SESSION])(
      '%s, with a connection key: the session ends',
      async (_name, frame) => {
        const { victims, stream } = await attack(way, frame, ['', ALPHA]);
        await expectKeyFailure(victims);
        expect(stream.errored).not.toBeNull();
        expect(victims.delivered.map(({ received }) => received).join()).not.toContain('FORGED');
      },
    );

    test.each(STREAM)('%s, with a host key only: the session ends', async (_name, frame) => {
      const { victims, stream } = await attack(way, frame, [ALPHA]);
      await expectKeyFailure(victims);
      expect(stream.errored).not.toBeNull();
      expect(victims.delivered.map(({ received }) => received).join()).not.toContain('FORGED');
    });

    test.each(SESSION)(
      '%s, with a host key only: what was sealed comes whole, or not',
      async (_name, frame) => {
        const { victims, stream, answer } = await attack(way, frame, [ALPHA]);
        expect(victims.delivered.map(({ body }) => body ?? 'half,half')).toEqual(['half,half']);
        expect(stream.errored !== null || answer === PIECES.join('')).toBe(true);
      },
    );
  });
});
