import { createHash } from 'node:crypto';
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { formatCase, parseCase } from './target.ts';

/** Cases that have failed: `TARGET-HASH.json`, each a vector that must hold from then on. From the root, where both runs are started. */
const FOLDER = 'test/fuzz/cases';

export function readCases(target: string): { readonly file: string; readonly input: unknown }[] {
  return readdirSync(FOLDER)
    .filter(
      (file) => file.startsWith(`${target}-`) && /^[0-9a-z]+\.json$/.test(file.slice(target.length + 1)),
    )
    .sort()
    .map((file) => ({ file, input: parseCase(readFileSync(join(FOLDER, file), 'utf8')) }));
}

/** Returns the path of the file. */
export function writeCase(target: string, input: unknown): string {
  const text = `${formatCase(input)}\n`;
  const name = createHash('sha256').update(text).digest('hex').slice(0, 12);
  const path = join(FOLDER, `${target}-${name}.json`);
  mkdirSync(FOLDER, { recursive: true });
  writeFileSync(path, text);
  return path;
}
