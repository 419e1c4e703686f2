import { expect, test } from 'vitest';
import { ALGORITHM, Keyring, PreSharedKey } from '../src/index.ts';
import { keeperOf, LABEL, Link, Side } from './link.ts';
import { seeded } from './random.ts';

/** How often a responder that holds this key file makes something at random, which all work with public keys begins with. */
async function draws(algorithm: number, file: string): Promise<number> {
  const keyring = new Keyring();
  keyring.add(new PreSharedKey(seeded(file)(32)), { label: LABEL, authorities: [''] });
  let count = 0;
  const source = seeded('server');
  const random = (length: number): Uint8Array => {
    count++;
    return source(length);
  };
  const wire = new Link(
    new Side('client', keeperOf('client')),
    new Side('server', keeperOf('server', { keyring, random })),
  );
  wire.client.registry.negotiate({ algorithm, label: LABEL, authority: '' });
  await wire.run();
  expect(wire.client.established).toHaveLength(file === 'key file' ? 1 : 0);
  return count;
}

test.each([
  ['psk-x25519', ALGORITHM.PSK_X25519, { stranger: 0, holder: 1 }],
  ['hybrid', ALGORITHM.HYBRID, { stranger: 0, holder: 2 }],
  ['spiped', ALGORITHM.SPIPED, { stranger: 1, holder: 2 }], // a nonce, and then an exponent
])('D5: %s does no work with public keys for who does not hold the key', async (_name, algorithm, made) => {
  expect(await draws(algorithm, 'another')).toBe(made.stranger);
  expect(await draws(algorithm, 'key file')).toBe(made.holder);
});
