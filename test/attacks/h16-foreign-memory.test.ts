import { ALGORITHM } from '@keymux/keys';
import { afterEach, describe, expect, test } from 'vitest';
import { ANNOUNCEMENT, Attacker } from '../support/attacker.ts';
import { at } from '../support/middle.ts';
import { Scope } from '../support/scope.ts';
import { ALPHA, expectKeyFailure, failureOf, setVictims, tell } from '../support/victims.ts';

const scope = new Scope();
afterEach(() => scope.close());

const CANARY = 'CANARY-in-the-pool';

/** Leaves the canary all over Node's buffer pool: whoever sends memory that it has not written, sends this. */
function fillPool(): void {
  for (let turn = 0; turn < 4 * Buffer.poolSize; turn += CANARY.length) Buffer.from(CANARY);
}

describe('H16: foreign memory', () => {
  test.each([
    ['in the clear', undefined],
    ['psk', ALGORITHM.PSK],
    ['spiped', ALGORITHM.SPIPED],
    ['psk-x25519', ALGORITHM.PSK_X25519],
    ['hybrid', ALGORITHM.HYBRID],
  ])('nothing of the pool is sent, %s', async (_name, algorithm) => {
    fillPool();
    const victims = await setVictims(scope, { client: { config: { padding: 'fixed' } } });
    const key = algorithm === undefined ? undefined : await victims.key(ALPHA, algorithm);
    for (const path of ['/', '/pieces', '/missing']) {
      fillPool();
      await tell(victims.client.request({ host: ALPHA, path, key, method: 'POST', body: 'body' }));
    }
    const sent = Buffer.concat(victims.middle.wire.seen.map(({ bytes }) => bytes));
    expect(sent.length).toBeGreaterThan(500);
    expect(sent.includes('CANARY-in')).toBe(false);
    expect(victims.delivered.map(({ received }) => received)).toEqual(['body', 'body', 'body']);
  });

  /** A first message whose inner lengths promise more than there is. */
  const lies: readonly (readonly [string, (frame: Buffer) => void])[] = [
    ['the data length', (frame) => frame.writeUInt16BE(0xffff, 10)],
    ['the data length, by one', (frame) => frame.writeUInt16BE(frame.readUInt16BE(10) + 1, 10)],
    ['the label length', (frame) => frame.writeUInt8(255, 16)],
    ['the label length, by one', (frame) => frame.writeUInt8(frame.readUInt8(16) + 1, 16)],
    ['the authority length', (frame) => frame.writeUInt8(255, 17 + frame.readUInt8(16))],
  ];

  test.each(lies)('%s of a first message says more than there is: no answer', async (_what, lie) => {
    const honest = await setVictims(scope);
    await honest.key(ALPHA);
    const message = Buffer.from(honest.middle.wire.sent('up', 'key-nego')[0]?.bytes as Buffer);
    lie(message);
    fillPool();
    const attacker = await Attacker.connect(scope, honest.port);
    attacker.send(ANNOUNCEMENT, message, Buffer.alloc(300));
    await attacker.closed;
    expect(attacker.messages).toEqual([]);
    expect(attacker.goaways.length).toBe(1);
    expect(Buffer.concat(attacker.received).includes(CANARY)).toBe(false);
  });

  test('an answer that promises more than there is makes no key', async () => {
    const victims = await setVictims(scope, {
      meddle: at('down key-nego 0', ({ bytes }) => {
        const copy = Buffer.from(bytes.subarray(0, -16));
        copy.writeUIntBE(copy.length - 8, 5, 3);
        copy.writeUInt16BE(copy.length - 12, 10);
        return copy;
      }),
    });
    expect(await failureOf(victims.key(ALPHA))).toBeDefined();
    await expectKeyFailure(victims);
  });
});
