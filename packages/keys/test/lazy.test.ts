import { expect, it, vi } from 'vitest';
import { ALGORITHM, Keyring, LocalKeeper, PreSharedKey } from '../src/index.ts';
import { seeded } from './random.ts';

const library = vi.hoisted(() => ({ loads: 0 }));
vi.mock('@noble/post-quantum/ml-kem.js', () => {
  library.loads++;
  throw new Error('the library is not there');
});

it('ML-KEM is loaded by keepers that allow hybrid, and if it cannot be, only hybrid fails', async () => {
  const key = new PreSharedKey(seeded('file')(32));
  const keyring = new Keyring();
  keyring.add(key, { authorities: [''] });
  const without = new LocalKeeper({ keyring, algorithms: [ALGORITHM.PSK_X25519], random: seeded('a') });
  await new Promise(setImmediate);
  expect(library.loads).toBe(0);

  const keeper = new LocalKeeper({ keyring, random: seeded('b') }); // with `random` it is always the library
  await vi.waitFor(() => expect(library.loads).toBe(1));
  const context = { role: 'initiator', initiator: 'client', depth: 0, keyId: 1, generation: 0 } as const;
  const offer = { offer: 0b1001000, label: key.label, authority: '' };
  await expect(keeper.start({ ...context, algorithm: ALGORITHM.HYBRID }, offer)).rejects.toThrow();
  for (const other of [keeper, without]) {
    const step = await other.start({ ...context, algorithm: ALGORITHM.PSK_X25519 }, offer);
    expect(step.send?.data).toHaveLength(72);
  }
});
