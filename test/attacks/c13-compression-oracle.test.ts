import { afterEach, describe, expect, test } from 'vitest';
import type { Wire } from '../support/middle.ts';
import { Scope } from '../support/scope.ts';
import { ALPHA, setVictims, tell, type Victims } from '../support/victims.ts';

const scope = new Scope();
afterEach(() => scope.close());

const ALPHABET = 'abcdefghijklmnopqrstuvwxyz0123456789';
/** The attacker chooses the path, and what the origin repeats of it; the browser adds the cookie. */
const COOKIE = 'sessionid=tq7vz2m0k9xw4c8p5n1h3r6y';

/** How many bytes each sealed request, and its answer, brought on to the wire. */
async function lengthsOf(victims: Victims, paths: readonly string[]): Promise<number[]> {
  const key = await victims.key(ALPHA);
  const { wire } = victims.middle;
  const lengths: number[] = [];
  for (const path of paths) {
    const before = sizeOf(wire);
    await tell(victims.client.request({ host: ALPHA, path, headers: [['cookie', COOKIE]], key }));
    lengths.push(sizeOf(wire) - before);
  }
  return lengths;
}

const sizeOf = ({ seen }: Wire): number => seen.reduce((sum, { bytes }) => sum + bytes.length, 0);

/** Two guesses of the same length at a byte of the cookie, one of them right. */
function guesses(trial: number): [right: string, wrong: string] {
  const known = 'sessionid='.length + (trial % 24);
  const right = COOKIE[known] as string;
  const wrong = ALPHABET[(ALPHABET.indexOf(right) + 1 + (trial % 7)) % ALPHABET.length] as string;
  const before = COOKIE.slice(0, known);
  return [`/?${before}${right}`, `/?${before}${wrong}`];
}

const TRIALS = [...Array(64).keys()].map(guesses);

describe('C13: compression oracle', () => {
  test('64 pairs of guesses, one right and one wrong, seal to the same length', async () => {
    const lengths = await lengthsOf(await setVictims(scope), TRIALS.flat());
    for (const [index, [right, wrong]] of TRIALS.entries()) {
      expect(right.length).toBe(wrong.length);
      expect(lengths[2 * index]).toBe(lengths[2 * index + 1]);
    }
  });

  test('a sealed request is longer by exactly what the path is longer', async () => {
    const paths = ['/', '/a', `/${'a'.repeat(50)}`, `/${COOKIE.slice(0, 50)}`];
    const [bare, ...others] = await lengthsOf(await setVictims(scope), paths);
    expect(others.map((length) => length - (bare as number))).toEqual(
      paths.slice(1).map(({ length }) => length - 1),
    );
  });

  test('control: in the clear, where SPDY compresses, right guesses show', async () => {
    const victims = await setVictims(scope);
    const shorter: boolean[] = [];
    for (const pair of TRIALS.slice(0, 24)) {
      const lengths: number[] = [];
      // A new connection for each, so that nothing but the guess differs.
      for (const path of pair) {
        const client = await victims.connect();
        await tell(
          client.request({ host: ALPHA, path, headers: [['cookie', COOKIE]], credentialLevel: 'none' }),
        );
        const wire = victims.middle.wires.at(-1) as Wire;
        lengths.push(wire.sent('up', 'syn-stream')[0]?.bytes.length ?? 0);
      }
      shorter.push((lengths[0] as number) < (lengths[1] as number));
    }
    expect(shorter.filter(Boolean).length).toBeGreaterThan(6);
  });
});
