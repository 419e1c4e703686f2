import { describe, expect, it } from 'vitest';
import { exchangeMacs, proveValue, readValue, sessionKeys } from '../src/algorithms/spiped-exchange.ts';
import { DhKey } from '../src/crypto.ts';
import { PreSharedKey, Secret } from '../src/index.ts';
import { Reader } from '../src/reader.ts';
import { hex, sharedVectors, unhex } from './shared-vectors.ts';

type Field = 'K' | 'nonce_C' | 'nonce_S' | 'x_C' | 'x_S' | 'y_C' | 'y_S' | 'h_C' | 'h_S' | 'y_SC' | 'dk_2';

/** Values that the real spiped 1.6.2 agrees with. */
const vectors = sharedVectors<{ kat: Record<Field, string>[]; mustReject: Record<string, string> }>(
  'dh14-spiped-kat.json',
);

describe.skipIf(!vectors)("spiped's exchange, byte by byte", () => {
  it('agrees with the known answers on both sides', async () => {
    expect(vectors?.kat.length).toBeGreaterThan(0);
    for (const kat of vectors?.kat ?? []) {
      const k = () => Secret.take(unhex(kat.K));
      const nonces = { client: unhex(kat.nonce_C), server: unhex(kat.nonce_S) };
      const macs = exchangeMacs(k(), nonces);
      const client = await DhKey.generate({ random: () => unhex(kat.x_C) });
      const server = await DhKey.generate({ random: () => unhex(kat.x_S) });
      expect(hex(client.publicValue)).toBe(kat.y_C);
      expect(hex(server.publicValue)).toBe(kat.y_S);
      expect(hex(proveValue(client.publicValue, macs.client))).toBe(kat.y_C + kat.h_C);
      expect(hex(proveValue(server.publicValue, macs.server))).toBe(kat.y_S + kat.h_S);
      expect(hex(readValue(new Reader(unhex(kat.y_C + kat.h_C)), macs.client))).toBe(kat.y_C);
      expect(hex((await client.agree(unhex(kat.y_S))) ?? new Uint8Array(0))).toBe(kat.y_SC);
      expect((await sessionKeys(k(), nonces, client, unhex(kat.y_S))).use(hex)).toBe(kat.dk_2);
      expect((await sessionKeys(k(), nonces, server, unhex(kat.y_C))).use(hex)).toBe(kat.dk_2);
    }
  });

  it('H6: refuses every value outside 1 < y < p - 1, even with the right proof', () => {
    const macs = exchangeMacs(new PreSharedKey(new Uint8Array(32).fill(1)).spipedKey, {
      client: new Uint8Array(32).fill(2),
      server: new Uint8Array(32).fill(3),
    });
    const refused = Object.entries(vectors?.mustReject ?? {});
    expect(refused.length).toBeGreaterThan(0);
    for (const [name, y] of refused) {
      const proven = proveValue(unhex(y), macs.client);
      expect(() => readValue(new Reader(proven), macs.client), name).toThrow(
        expect.objectContaining({ code: 'ERR_KEYMUX_KEY_FAILURE', reason: 'group' }),
      );
    }
  });
});
