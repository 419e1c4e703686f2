import { setImmediate } from 'node:timers/promises';
import { encodeControl } from '@keymux/frames';
import { afterEach, describe, expect, test } from 'vitest';
import { clearData } from '../support/forge.ts';
import { ahead, behind, dropped, type Meddler, together } from '../support/middle.ts';
import { Scope } from '../support/scope.ts';
import { ALPHA, expectKeyFailure, failureOf, setVictims, tell, type Victims } from '../support/victims.ts';

const scope = new Scope();
afterEach(() => scope.close());

/** A session that seals everything from the start, and three requests. */
async function run(meddle?: Meddler): Promise<{ victims: Victims; failed: number }> {
  const victims = await setVictims(scope, meddle ? { meddle } : {});
  const asked: Promise<unknown>[] = [];
  try {
    await victims.key('');
    const key = await victims.key(ALPHA);
    for (const path of ['/1', '/2', '/3']) {
      asked.push(failureOf(tell(victims.client.request({ host: ALPHA, path, key }))));
      await setImmediate(); // an envelope for each
    }
  } catch {
    asked.push(Promise.resolve(new Error('no key')));
  }
  return { victims, failed: (await Promise.all(asked)).filter((error) => error !== undefined).length };
}

/** What an attacker can put in to move a count, and nobody acts upon. */
const NOTHINGS: readonly (readonly [string, Uint8Array])[] = [
  ['an unknown frame', Buffer.from('800300fe00000000', 'hex')],
  ['PING', encodeControl({ type: 'ping', id: 2 ** 31 })],
  ['WINDOW_UPDATE', encodeControl({ type: 'window-update', streamId: 0, delta: 1 })],
  ['DATA of no stream', clearData(2 ** 30 + 1, '')],
  ['RST_STREAM of no stream', encodeControl({ type: 'rst-stream', streamId: 2 ** 30 + 1, status: 5 })],
];

describe('C2: prefix truncation across the switch', () => {
  test('control: all three requests are answered', async () => {
    const { victims, failed } = await run();
    expect(failed).toBe(0);
    expect(victims.delivered.map(({ path }) => path)).toEqual(['/1', '/2', '/3']);
  });

  describe.each(['up', 'down'] as const)('%s', (way) => {
    const places: readonly (readonly [string, (frame: Uint8Array) => Meddler])[] = [
      ['before the run', (frame) => ahead(`${way} key-nego 0`, frame)],
      ['between run and switch', (frame) => behind(`${way} key-nego 0`, frame)],
    ];
    // Not the one with a message of a run: that would only be waited for.
    const cuts = ['0', '2'].map((nth) => [nth, dropped(`${way} sealed ${nth}`)] as const);

    test.each(
      NOTHINGS.flatMap(([name, frame]) => places.map(([place, put]) => [name, place, put(frame)] as const)),
    )('%s put in %s, and the first envelope taken out', async (_name, _place, put) => {
      const { victims, failed } = await run(together(dropped(`${way} sealed 0`), put));
      await expectKeyFailure(victims);
      expect(failed).toBeGreaterThan(0);
      if (way === 'up') expect(victims.delivered).toEqual([]);
    });

    test.each(cuts)('nothing put in, and envelope %s taken out', async (_nth, cut) => {
      const { victims, failed } = await run(cut);
      await expectKeyFailure(victims);
      expect(failed).toBeGreaterThan(0);
    });

    test.each(places)('an unknown frame put in %s, and nothing taken out', async (_place, put) => {
      const { victims } = await run(put(NOTHINGS[0]?.[1] as Uint8Array));
      await expectKeyFailure(victims);
      expect(victims.delivered).toEqual([]);
    });
  });
});
