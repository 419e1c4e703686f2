import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { asyncRefusal, DAMAGE, damaged, must } from '../checks.ts';
import { assignments, ConfigFile, list, numbers, socketAddress } from '../internals.ts';
import { target } from '../target.ts';

const NAMES = ['listen', 'proxyKey', 'key', 'toString', '__proto__'];
const KEYS = ['listen', 'proxy-key', 'proxyKey', 'key', '__proto__', 'constructor', 'nothing'];
const value = fc.oneof(
  fc.constantFrom<unknown>(null, true, '', 'a=b', '=', '127.0.0.1:80', 'unix:/x', 8080, -1, 1e300, 0.5),
  fc.array(fc.constantFrom<unknown>('a=b', 'x', 1, null), { maxLength: 3 }),
  fc.constant({ a: 1 }),
);
const object = fc
  .array(fc.tuple(fc.constantFrom(...KEYS), value), { maxLength: 4 })
  .map(
    (entries) => `{${entries.map(([name, content]) => `"${name}": ${JSON.stringify(content)}`).join(',\n')}}`,
  );

/** A configuration file is understood, with every option where it stands, or refused as a whole. */
export const configuration = target<{ text: Uint8Array }>({
  name: 'configuration',
  cases: fc.record({
    text: fc
      .tuple(
        fc.oneof({ weight: 5, arbitrary: object }, fc.json()),
        fc.oneof({ weight: 2, arbitrary: fc.constant([]) }, fc.array(DAMAGE, { maxLength: 2 })),
      )
      .map(([json, damage]) => damaged(Buffer.from(json), damage)),
  }),
  check: async ({ text }) => {
    const folder = mkdtempSync(join(tmpdir(), 'keymux-fuzz-'));
    try {
      const path = join(folder, 'config.json');
      writeFileSync(path, text);
      await asyncRefusal(async () => {
        const file = await ConfigFile.read(path, NAMES);
        for (const name of NAMES) {
          const given = file.value(name);
          if (given === undefined) continue;
          const { line } = file.locate(name, 0);
          must(
            line >= 1 && line <= Buffer.from(text).toString().split('\n').length,
            'an option stands in a line',
          );
          for (const schema of [assignments, list, socketAddress, numbers]) schema.safeParse(given);
        }
      });
      must(({} as Record<string, unknown>).a === undefined, 'no option reaches the prototype of all objects');
    } finally {
      rmSync(folder, { recursive: true });
    }
  },
  runs: 80,
});
