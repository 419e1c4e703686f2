import fc from 'fast-check';
import { expect, test } from 'vitest';
import { Slab, SMALL } from '../src/slab.ts';

const HOLDERS = 3;

test('what sessions add to the memory that they share stays as it is, whoever goes on, cuts off or gives back when', () => {
  const holder = fc.nat(HOLDERS - 1);
  const step = fc.oneof(
    { weight: 8, arbitrary: fc.record({ act: fc.constant('add' as const), holder, size: fc.nat(SMALL) }) },
    // Room that is asked for, and only used in part.
    {
      weight: 2,
      arbitrary: fc.record({ act: fc.constant('reserve' as const), holder, size: fc.nat(SMALL) }),
    },
    { weight: 3, arbitrary: fc.record({ act: fc.constant('cut' as const), holder }) },
    { weight: 1, arbitrary: fc.record({ act: fc.constant('release' as const), holder }) },
  );
  const property = fc.property(fc.array(step, { minLength: 20, maxLength: 200 }), (steps) => {
    const slabs = Array.from({ length: HOLDERS }, () => new Slab());
    const added = slabs.map((): number[] => []);
    const cut: { piece: Uint8Array; expected: number[] }[] = [];
    const cutOff = (at: number): void => {
      const piece = slabs[at]?.cut();
      expect(piece?.length ?? 0).toBe(added[at]?.length);
      if (piece !== undefined) cut.push({ piece, expected: added[at] as number[] });
      added[at] = [];
    };
    let mark = 0;
    for (const next of steps) {
      const slab = slabs[next.holder] as Slab;
      if (next.act === 'cut') cutOff(next.holder);
      else if (next.act === 'release') {
        cutOff(next.holder);
        slab.release();
      } else {
        if (!slab.fits(next.size)) {
          cutOff(next.holder);
          slab.begin(next.size);
        }
        if (next.act === 'reserve') continue;
        const bytes = new Uint8Array(next.size).fill(++mark);
        slab.add(bytes);
        added[next.holder]?.push(...bytes);
      }
    }
    for (const at of slabs.keys()) cutOff(at);
    for (const { piece, expected } of cut)
      expect(Buffer.from(piece).equals(Buffer.from(expected))).toBe(true);
  });
  fc.assert(property, { numRuns: 200 });
});
