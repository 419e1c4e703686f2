import { inspect } from 'node:util';
import { describe, expect, it } from 'vitest';
import { ALGORITHM, KeyError, Keyring, PreSharedKey, Secret } from '../src/index.ts';
import { LABEL, link } from './link.ts';

const CANARY = 'canary-0123456789abcdefghijklmno';

describe('a secret', () => {
  it('does not show in any text', () => {
    const secret = Secret.take(Buffer.from(CANARY));
    const holder = { secret, list: [secret], error: new Error('x', { cause: secret }) };
    for (const text of [
      String(secret),
      `${secret}`,
      JSON.stringify(holder),
      inspect(holder, { depth: 10, showHidden: true, getters: true }),
      inspect(secret, { customInspect: false, showHidden: true, depth: 10 }),
      Object.keys(secret).join(),
    ]) {
      expect(text).not.toContain('canary');
      expect(text).not.toContain(Buffer.from(CANARY).toString('hex'));
      expect(text).not.toContain('63 61 6e');
    }
    expect(JSON.stringify(secret)).toBe('"[Secret]"');
    expect(inspect(secret)).toBe('[Secret]');
  });

  it('lies in memory of its own, and leaves no copy where it came from', () => {
    const source = Buffer.from(CANARY);
    const secret = Secret.take(source);
    expect(source.every((byte) => byte === 0)).toBe(true);
    secret.use((bytes) => {
      expect(bytes.buffer.byteLength).toBe(bytes.length);
      expect(Buffer.from(bytes).toString()).toBe(CANARY);
    });
  });

  it('is zeroed by wipe, and gone', () => {
    const secret = Secret.take(Buffer.from(CANARY));
    const lent = secret.use((bytes) => bytes);
    secret.wipe();
    secret.wipe();
    expect(lent.every((byte) => byte === 0)).toBe(true);
    expect(secret.wiped).toBe(true);
    expect(() => secret.use((bytes) => bytes)).toThrow(KeyError);
  });

  it('H17: shows in nothing that this package hands out', async () => {
    const file = Buffer.from(CANARY);
    const key = new PreSharedKey(file);
    const keyring = new Keyring();
    keyring.add(key, { authorities: [''], label: LABEL });
    const wire = link({ client: { keyring }, server: { keyring } });
    wire.client.registry.negotiate({ algorithm: ALGORITHM.SPIPED, label: LABEL, authority: '' });
    await wire.run();
    expect(wire.client.established).toHaveLength(1);
    const secrets = [key.spipedKey, key.psk].map((secret) => secret.use((bytes) => Buffer.from(bytes)));
    const shown = inspect(
      [key, keyring, wire.client.registry, wire.client.registry.sender(1), wire.client.events],
      {
        depth: 20,
        showHidden: true,
      },
    );
    for (const bytes of [file, ...secrets]) {
      expect(shown).not.toContain(bytes.toString('hex'));
      expect(shown).not.toContain(bytes.toString('hex').replace(/..(?=.)/g, '$& '));
      expect(shown).not.toContain([...bytes].slice(0, 12).join(', '));
    }
  });
});
