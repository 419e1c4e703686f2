import { readdir, readFile } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import { ALGORITHM, createKeyFile } from '@keymux/keys';
import { afterEach, describe, expect, test } from 'vitest';
import { Attacker } from '../support/attacker.ts';
import { connectClient } from '../support/library.ts';
import { Scope } from '../support/scope.ts';
import { ALPHA, failureOf, Keys } from '../support/victims.ts';

const scope = new Scope();
afterEach(() => scope.close());

describe('H18: bad randomness', () => {
  test('key files that are made at the same time are not the same', async () => {
    const file = await scope.directory();
    const names = [...Array(8).keys()].map((index) => file(`${index}.key`));
    await Promise.all(names.map((name) => createKeyFile(name)));
    const made = await Promise.all(names.map((name) => readFile(name, 'hex')));
    expect(new Set(made).size).toBe(8);
    for (const key of made) expect(new Set(key.match(/../g)).size).toBeGreaterThan(16);
  });

  test('a restarted keeper does not begin its nonces again', async () => {
    const keys = new Keys();
    const seen: string[] = [];
    const port = await Attacker.listen(scope, async (attacker) => {
      const { data } = await attacker.message(0);
      seen.push(data.subarray(-64).toString('hex'));
      attacker.end();
    });
    for (let turn = 0; turn < 16; turn++) {
      const client = await connectClient(scope, `127.0.0.1:${port}`, { keeper: keys.keeper() });
      const asked = client.negotiate({
        algorithm: ALGORITHM.SPIPED,
        label: keys.of(ALPHA),
        authority: ALPHA,
      });
      expect(await failureOf(asked)).toBeDefined();
    }
    expect(new Set(seen.map((data) => data.slice(-64))).size).toBe(16);
  });

  test('no source takes Math.random, or the time, for randomness', async () => {
    const packages = fileURLToPath(new URL('../../packages', import.meta.url));
    let files = 0;
    for (const entry of await readdir(packages, { recursive: true })) {
      if (!/^[a-z]+\/src\/.*\.ts$/.test(entry)) continue;
      files++;
      const source = await readFile(`${packages}/${entry}`, 'utf8');
      expect(source, entry).not.toMatch(/Math\s*(?:\.\s*random|\[)/);
      expect(source, entry).not.toMatch(
        /pseudoRandomBytes|createHash\([^)]*\)\s*\.update\([^)]*(?:Date|performance)\.now/,
      );
    }
    expect(files).toBeGreaterThan(100);
  });
});
