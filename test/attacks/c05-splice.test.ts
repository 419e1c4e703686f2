import { encodeControl } from '@keymux/frames';
import { afterEach, describe, expect, test } from 'vitest';
import { clearRequest, clearSyn, compressorAfter } from '../support/forge.ts';
import { ahead, at, type Meddler } from '../support/middle.ts';
import { Scope } from '../support/scope.ts';
import { ALPHA, BETA, expectKeyFailure, failureOf, setVictims, tell } from '../support/victims.ts';

const scope = new Scope();
afterEach(() => scope.close());

/** The victim asks something harmless in the clear, then negotiates a key and asks for more under it. */
async function run(meddle?: Meddler, authority = ALPHA) {
  const victims = await setVictims(scope, meddle ? { meddle } : {});
  await failureOf(tell(victims.client.request({ host: ALPHA, path: '/harmless' })));
  const key = await victims.key(authority).catch(() => undefined);
  const asked = key && tell(victims.client.request({ host: ALPHA, path: '/sealed', key }));
  const failure = asked ? await failureOf(asked) : new Error('no key');
  return { victims, failure };
}

describe('C5: a negotiation is spliced into a session that the attacker has begun', () => {
  test('control: the origin gets both requests as they were sent', async () => {
    const { victims, failure } = await run();
    expect(failure).toBeUndefined();
    expect(victims.delivered).toMatchObject([
      { path: '/harmless', level: 'none' },
      { path: '/sealed', level: 'authenticated' },
    ]);
  });

  const request = clearSyn(1, clearRequest('GET', ALPHA, '/transfer?to=mallory'), { fin: true });
  const settings = encodeControl({
    type: 'settings',
    clear: false,
    entries: [{ id: 4, value: 100, flags: 0 }],
  });
  test.each<[string, Meddler]>([
    ['a request of his own in the place of the victim’s', at('up syn-stream 0', () => request)],
    [
      'a request of his own before the negotiation',
      at('up key-nego 0', ({ bytes }, wire) => [
        clearSyn(5, clearRequest('GET', ALPHA, '/mine'), { compressor: compressorAfter(wire, 'up') }),
        bytes,
      ]),
    ],
    ['settings of his own', ahead('up key-nego 0', settings)],
    [
      'an answer of his own to the victim',
      at('down syn-reply 0', ({ bytes }) => [bytes, encodeControl({ type: 'ping', id: 2 })]),
    ],
    ['no beginning at all', at('up window-update 0', () => [])],
  ])('%s: what comes under the key is not credited to it', async (_what, meddle) => {
    const { victims, failure } = await run(meddle);
    expect(failure).toBeDefined();
    await expectKeyFailure(victims);
    expect(victims.delivered.filter(({ level }) => level !== 'none')).toEqual([]);
    expect(victims.delivered.map(({ path }) => path)).not.toContain('/sealed');
  });

  test('the victim’s first message in a session in which the attacker holds a key of the same ID', async () => {
    // He has a key of his own there, and wants what the victim proves to count for what he has begun.
    let splice = false;
    const victims = await setVictims(scope, {
      meddle: at('up key-nego 0', ({ bytes }, wire) => {
        const [first] = wires();
        if (!splice || first === wire) return undefined;
        first?.send('up', bytes);
        return [];
      }),
    });
    const wires = () => victims.middle.wires;
    const own = await victims.key(BETA); // the attacker's session is the first
    await tell(victims.client.request({ host: BETA, path: '/mine', key: own }));
    splice = true;
    const victim = await victims.connect();
    const asked = failureOf(victims.key(ALPHA, undefined, victim));
    await expectKeyFailure(victims);
    victim.session.destroy();
    expect(await asked).toBeDefined();
    expect(victims.delivered.map(({ path }) => path)).toEqual(['/mine']);
  });

  test('the victim’s renegotiation in the session of somebody who holds the same key', async () => {
    // Two sessions with one long-term key, both at the same generation of the same ID: only what came before differs.
    let spliced = 0;
    const victims = await setVictims(scope, {
      meddle: at('up key-nego 1', ({ bytes }, wire) => {
        const [first] = wires();
        if (first === wire) return undefined;
        spliced++;
        first?.send('up', bytes);
        return [];
      }),
    });
    const wires = () => victims.middle.wires;
    const ask = async (client = victims.client) => {
      const key = await victims.key(ALPHA, undefined, client);
      await tell(client.request({ host: ALPHA, path: '/', key }));
      return key;
    };
    await ask();
    const victim = await victims.connect();
    const asked = failureOf(victim.session.renegotiate(await ask(victim)));
    await expectKeyFailure(victims);
    expect(spliced).toBe(1);
    victim.session.destroy();
    expect(await asked).toBeDefined();
  });
});
