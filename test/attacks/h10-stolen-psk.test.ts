import { createDecipheriv, randomBytes } from 'node:crypto';
import { ALGORITHM, PreSharedKey } from '@keymux/keys';
import { afterEach, describe, expect, test } from 'vitest';
import { Attacker } from '../support/attacker.ts';
import type { Passing, Wire } from '../support/middle.ts';
import { recordedKeys } from '../support/recorded-keys.ts';
import { cat, number, text } from '../support/reference-keys.ts';
import { Scope } from '../support/scope.ts';
import { ALPHA, codeOf, KEY_FAILURE, Keys, setVictims, tell } from '../support/victims.ts';

const scope = new Scope();
afterEach(() => scope.close());

const CANARY = '/canary-of-the-request';

/** A session is recorded; later the key file is stolen. */
async function record(algorithm: number) {
  const keyFile = randomBytes(32);
  const keys = new Keys({ alpha: new PreSharedKey(keyFile) });
  const victims = await setVictims(scope, { keys });
  const key = await victims.key(ALPHA, algorithm);
  expect(await tell(victims.client.request({ host: ALPHA, path: CANARY, key }))).toMatchObject({
    status: 200,
  });
  return { keyFile, keys, victims, wire: victims.middle.wire };
}

/** Opens the first request with all that the recording and the stolen key give, whatever `shared` the attacker assumes for what he lacks. */
function open(wire: Wire, keyFile: Buffer, shared: (Kpsk: Buffer) => Buffer): string | undefined {
  const [sealed] = wire.sent('up', 'sealed') as [Passing];
  const { client } = recordedKeys(wire, keyFile, shared).of(sealed.bytes[9] as number);
  const head = sealed.bytes.subarray(0, 10);
  const decipher = createDecipheriv('aes-256-gcm', client.key, client.iv, { authTagLength: 16 });
  decipher.setAAD(cat(text('keymux/1 sealed'), number(1, 2), head)).setAuthTag(sealed.bytes.subarray(-16));
  const plaintext = decipher.update(sealed.bytes.subarray(10, -16));
  try {
    return cat(plaintext, decipher.final()).toString('latin1');
  } catch {
    return undefined;
  }
}

describe('H10: a PSK is stolen after the session', () => {
  test('control: psk has no forward secrecy; the same attacker reads what was recorded', async () => {
    const { keyFile, wire } = await record(ALGORITHM.PSK);
    expect(open(wire, keyFile, (Kpsk) => Kpsk)).toContain(CANARY);
    expect(open(wire, randomBytes(32), (Kpsk) => Kpsk)).toBeUndefined();
  });

  test.each([
    ['psk-x25519', ALGORITHM.PSK_X25519],
    ['hybrid', ALGORITHM.HYBRID],
    ['spiped', ALGORITHM.SPIPED],
  ])('%s: the key opens nothing of it', async (_name, algorithm) => {
    const { keyFile, wire } = await record(algorithm);
    for (const guess of [
      (Kpsk: Buffer) => Kpsk,
      (Kpsk: Buffer) => cat(Buffer.alloc(64), Kpsk),
      () => Buffer.alloc(64),
    ]) {
      expect(open(wire, keyFile, guess)).toBeUndefined();
    }
  });

  test.each([
    ['psk-x25519', ALGORITHM.PSK_X25519],
    ['hybrid', ALGORITHM.HYBRID],
    ['spiped', ALGORITHM.SPIPED],
  ])(
    '%s: nor does an origin of the attacker, that holds the key and is sent the recording',
    async (_name, algorithm) => {
      const { keys, wire } = await record(algorithm);
      const thief = await setVictims(scope, { keys });
      const replay = await Attacker.connect(scope, thief.port);
      replay.send(...wire.seen.filter(({ way }) => way === 'up').map(({ bytes }) => bytes));
      await replay.closed;
      expect(codeOf(await thief.sessions.at(-1)?.closed)).toBe(KEY_FAILURE);
      expect(thief.delivered).toEqual([]);
    },
  );
});
