import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { missingTools, search } from './spin.ts';

const missing = missingTools();

/** What spin must find with these defines: the broken property, 'none', or anything ('sanity'). */
type Case = readonly [defines: string, found: string, attacks: string];

const MODELS: Record<string, { readonly mayWait: boolean; readonly cases: readonly Case[] }> = {
  'switch.pml': {
    mayWait: true,
    cases: [
      ['', 'none', 'C1, C2'],
      ['SANITY', 'sanity', 'C1, C2'],
      ['NO_DIGEST', 'clear_prefix_differs', 'C1, C2'],
      ['NO_SWITCH', 'clear_prefix_differs', 'C1, C2'],
      ['IMPLICIT_COUNTER', 'sealed_frame_lost', 'C2'],
      ['NO_STRICT', 'clear_after_switch', 'C1'],
      ['NO_ANSWERED', 'answer_to_other_question', 'C1'],
    ],
  },
  'key-change.pml': {
    mayWait: true,
    cases: [
      ['', 'none', 'H4'],
      ['SANITY', 'sanity', 'H4'],
      ['NO_COUNT', 'sealed_frame_lost', 'H4'],
      ['NO_SWITCH_COUNT', 'lost_before_switch', 'C2'],
      ['HOLDS_B', 'none', 'H3'],
      ['HOLDS_B HOST_SENDS', 'none', 'H3'],
      ['HOLDS_B NO_PROOF', 'direction_taken_over', 'H3'],
      ['HOLDS_B NO_PROOF HOST_SENDS', 'direction_taken_over', 'H3'],
      ['HOLDS_B LOOSE', 'lost_before_switch', 'H3'],
      ['HOST_RECEIVES', 'none', 'H3'],
      ['HOST_RECEIVES NO_PROOF', 'lost_before_switch', 'H3'],
      ['SANITY HOLDS_B', 'sanity', 'H3'],
    ],
  },
  'lifecycle.pml': {
    mayWait: true,
    cases: [
      ['', 'none', 'C3, H4'],
      ['IDS=3 ATTACKS=0 DEPTH=1', 'none', 'H4'],
      ['IDS=3 ATTACKS=0 SANITY', 'sanity', 'H4'],
      ['ATTACKS=0 NO_PARITY', 'id_names_two_keys', 'H4'],
      ['ATTACKS=1 REUSE', 'id_names_two_keys', 'C3, H4'],
      ['ATTACKS=0 RUDE', 'none', 'H4'],
      ['ATTACKS=0 RUDE NO_RETIRED', 'opened_after_retire', 'H4'],
      ['ATTACKS=0 NO_CLOSED', 'opened_after_close', 'C8'],
      ['ATTACKS=0 EARLY', 'honest_session_died', 'C7'],
      ['ATTACKS=0 EARLY ACCEPTS', 'none', 'C7'],
    ],
  },
  'renegotiation.pml': {
    mayWait: false,
    cases: [
      ['', 'none', 'H4'],
      ['SANITY', 'sanity', 'H4'],
      ['NO_RULE', 'generation_has_two_keys', 'H4'],
      ['BOTH_YIELD', 'honest_session_died', 'H4'],
      ['BOTH_INSIST', 'generations_differ', 'H4'],
      ['NO_MOVED', 'generation_skipped', 'H4'],
    ],
  },
  'retirement.pml': {
    mayWait: false,
    cases: [
      ['', 'none', 'H4'],
      ['SANITY', 'sanity', 'H4'],
      ['NO_REFUSE', 'stream_forgotten', 'H4'],
      ['ANSWER', 'sealed_after_retire', 'H4'],
      ['FATAL', 'honest_session_died', 'H4'],
      ['HASTY', 'sealed_after_retire', 'H4'],
      ['NO_FOLLOW', 'key_lives_on', 'H4'],
    ],
  },
};

for (const [model, { mayWait, cases }] of Object.entries(MODELS)) {
  // What takes the time are compilers and searches, in processes of their own.
  describe.concurrent(`spec/models/${model}`, () => {
    for (const [defines, found, attacks] of cases) {
      const title = `${attacks}: with ${defines || 'all rules'}, spin finds ${found === 'sanity' ? 'the good end' : found}`;
      it(title, async (context) => {
        if (missing !== undefined) context.skip(missing);
        const broken = await search(model, defines === '' ? [] : defines.split(' '), mayWait);
        if (found === 'sanity') expect(broken).not.toMatch(/^\w+$/);
        else expect(broken).toBe(found);
      });
    }
  });
}

describe('spec/models', () => {
  it('no define is left untried', () => {
    for (const [model, { cases }] of Object.entries(MODELS)) {
      const text = readFileSync(new URL(`../../spec/models/${model}`, import.meta.url), 'utf8');
      const documented = [...text.matchAll(/^ \* -D(\w+)/gm)].map(([, define]) => define);
      const tried = new Set(cases.flatMap(([defines]) => defines.split(' ')));
      expect(documented.filter((define) => !tried.has(define ?? ''))).toEqual([]);
      expect(documented.length).toBeGreaterThan(0);
    }
  });
});
