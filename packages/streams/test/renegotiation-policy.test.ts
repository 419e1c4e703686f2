import { describe, expect, it } from 'vitest';
import { RenegotiationPolicy } from '../src/renegotiation-policy.ts';

const HOUR = 3_600_000;

/** A policy, and what it has asked for. */
function policyOf(limits: ConstructorParameters<typeof RenegotiationPolicy>[1] = {}) {
  const carried = { bytes: 0, envelopes: 0 };
  const asked: number[] = [];
  let fault: Error | undefined;
  const target = {
    carried: () => carried,
    renegotiate: (keyId: number) => {
      asked.push(keyId);
      if (fault) throw fault;
    },
  };
  const fail = (error: Error) => {
    fault = error;
  };
  return { policy: new RenegotiationPolicy(target, limits), carried, asked, fail };
}

describe('renegotiation by policy', () => {
  it('renews a key when it is an hour old, and not before', () => {
    const { policy, asked } = policyOf();
    policy.established(1, 500);
    expect(policy.check(500)).toBe(500 + HOUR);
    policy.check(499 + HOUR);
    expect(asked).toEqual([]);
    policy.check(500 + HOUR);
    expect(asked).toEqual([1]);
    policy.established(1, 600 + HOUR);
    expect(policy.check(600 + HOUR)).toBe(600 + 2 * HOUR);
  });

  it.each([
    ['64 GiB', { bytes: 64 * 2 ** 30 - 1, envelopes: 0 }, { bytes: 64 * 2 ** 30, envelopes: 0 }],
    ['2^31 envelopes', { bytes: 0, envelopes: 2 ** 31 - 1 }, { bytes: 0, envelopes: 2 ** 31 }],
  ])('renews a key that has carried %s, and not before', (_, before, after) => {
    const { policy, asked, carried } = policyOf();
    policy.established(1, 0);
    Object.assign(carried, before);
    policy.check(1);
    expect(asked).toEqual([]);
    Object.assign(carried, after);
    policy.check(1);
    expect(asked).toEqual([1]);
  });

  it('does not ask again at every turn while a run is in progress', () => {
    const { policy, asked, carried } = policyOf({ bytes: 65_536 });
    policy.established(1, 0);
    carried.bytes = 65_536;
    expect(policy.check(0)).toBeUndefined();
    policy.check(9_999);
    expect(asked).toEqual([1]);
    policy.check(10_000);
    expect(asked).toEqual([1, 1]);
  });

  it('asks again 10 seconds after a peer that was busy, and never one that does not renegotiate', () => {
    for (const [reason, again] of [
      [3, [1, 1]],
      [5, [1, 1]],
      [4, [1]],
      [9, [1]],
    ] as const) {
      const { policy, asked } = policyOf({ age: 1000 });
      policy.established(1, 0);
      policy.check(1000);
      policy.rejected(1, reason, 2000);
      policy.check(11_999);
      expect(asked).toEqual([1]);
      policy.check(12_000);
      expect(asked, `reason ${reason}`).toEqual(again);
    }
  });

  it('leaves keys alone that cannot be renegotiated, are gone, or are not its own', () => {
    const { policy, asked, fail } = policyOf({ age: 1000 });
    fail(new Error('ALG 1'));
    policy.established(1, 0);
    policy.established(3, 0);
    policy.forget(3);
    policy.rejected(5, 3, 0);
    policy.check(1000);
    expect(policy.check(HOUR)).toBeUndefined();
    expect(asked).toEqual([1]);
  });

  it.each([
    { bytes: 65_535 },
    { bytes: 2 ** 53 },
    { bytes: 70_000.5 },
    { bytes: Number.NaN },
    { age: 999 },
    { age: 2 ** 31 },
    { age: Number.POSITIVE_INFINITY },
  ])('refuses %o', (limits) => {
    expect(() => policyOf(limits)).toThrow(
      expect.objectContaining({
        code: 'ERR_KEYMUX_CONFIG',
        message: expect.stringContaining('renegotiate.'),
      }),
    );
  });
});
