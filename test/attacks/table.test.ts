import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { expect, test } from 'vitest';

const ROOT = fileURLToPath(new URL('../..', import.meta.url));

/** The rows of the threat model but for the low ones: number, what stands, tests. */
const ROWS = readFileSync(`${ROOT}/spec/threat-model.md`, 'utf8')
  .split('\n')
  .filter((line) => /^\| [CHD][0-9]+ \|/.test(line))
  .map((line) => line.split('|').map((cell) => cell.trim()))
  .map((cells) => ({ number: cells[1] ?? '', stands: cells[4] ?? '', tests: cells[5] ?? '' }));

const NUMBERS = [
  ...Array.from({ length: 21 }, (_, index) => `C${index + 1}`),
  ...Array.from({ length: 25 }, (_, index) => `H${index + 1}`),
  ...Array.from({ length: 19 }, (_, index) => `D${index + 1}`),
];

/** The files that a row names. One without a folder is in that of the file before it. */
function filesOf(tests: string): string[] {
  let folder = '';
  return [...tests.matchAll(/`([^`]+\.test\.ts)`/g)].map(([, name = '']) => {
    folder = name.includes('/') ? name.slice(0, name.lastIndexOf('/')) : folder;
    return name.includes('/') ? name : `${folder}/${name}`;
  });
}

test('the threat model has every attack of the catalogue', () => {
  expect(ROWS.map(({ number }) => number)).toEqual(NUMBERS);
});

const FILES = readdirSync(`${ROOT}/test/attacks`).filter((name) => /^[chd][0-9]{2}-/.test(name));

/** How the files of an attack begin. */
const prefixOf = (number: string): string =>
  `${number[0]?.toLowerCase()}${number.slice(1).padStart(2, '0')}-`;

test.each(ROWS)('$number has tests that exist, or says why there is none', ({ number, stands, tests }) => {
  const files = filesOf(tests);
  for (const file of files) expect(existsSync(`${ROOT}/${file}`), file).toBe(true);
  if (files.length === 0) expect(tests).toMatch(/^none: .{20,}/);
  expect(stands).toMatch(/^(?:met|partly|open)/);
  const own = `test/attacks/${prefixOf(number)}`;
  if (files.length > 0)
    expect(
      files.some((file) => file.startsWith(own)),
      `no ${own}*`,
    ).toBe(true);
});

test('every file of an attack is named in its row', () => {
  const named = new Set(ROWS.flatMap(({ tests }) => filesOf(tests)));
  expect(FILES.length).toBeGreaterThan(40);
  for (const file of FILES) expect(named).toContain(`test/attacks/${file}`);
});
