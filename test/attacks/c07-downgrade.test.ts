import { encodeControl } from '@keymux/frames';
import { ALGORITHM } from '@keymux/keys';
import { afterEach, describe, expect, test } from 'vitest';
import { Clock } from '../support/clock.ts';
import { at, dropped, flipped, type Meddler, type Passing } from '../support/middle.ts';
import { Scope } from '../support/scope.ts';
import { ALPHA, codeOf, expectKeyFailure, failureOf, SECRET, setVictims, tell } from '../support/victims.ts';

const scope = new Scope();
afterEach(() => scope.close());

const KEYMUX_SETTING = Buffer.from('4b4d58', 'hex');

/** Flips bits of the announced algorithms, or makes the entry one that nobody knows. */
function announcement(edit: (entry: Buffer) => void) {
  return ({ bytes }: Passing): Buffer => {
    const copy = Buffer.from(bytes);
    const index = copy.indexOf(KEYMUX_SETTING);
    if (index < 0) throw new Error('nothing is announced');
    edit(copy.subarray(index));
    return copy;
  };
}
const strip = announcement((entry) => entry.fill(0x7f, 0, 3));
const onlyPsk = announcement((entry) => entry.writeUIntBE(1 << ALGORITHM.PSK, 4, 3));
const onlyAnonymous = announcement((entry) => entry.writeUIntBE(1 << ALGORITHM.ANONYMOUS, 4, 3));

describe('C7: stripping of what the origin asks for', () => {
  /** The victim asks in the clear, but wants no answer that is not proven. */
  const ask = (victims: Awaited<ReturnType<typeof setVictims>>) =>
    tell(victims.client.request({ host: ALPHA, path: '/prompt', level: 'authenticated' }));

  test('control: the origin prompts and answers sealed', async () => {
    expect(await ask(await setVictims(scope))).toMatchObject({ status: 200, level: 'authenticated' });
  });

  test.each<[string, Meddler]>([
    ['the client’s announcement is taken away', at('up settings 0', strip)],
    ['it is changed to the weakest algorithm', at('up settings 0', onlyPsk)],
    ['it is changed to the one that proves nobody', at('up settings 0', onlyAnonymous)],
    ['the offer in the prompt is changed', at('down key-nego 0', ({ bytes }) => flipped(bytes, 15, 0xff))],
    ['its algorithm is', at('down key-nego 0', ({ bytes }) => flipped(bytes, 9, 0x02))],
    ['its authority is', at('down key-nego 0', ({ bytes }) => replaced(bytes, 'alpha', 'betaa'))],
  ])('%s: the page is not shown', async (_what, meddle) => {
    const victims = await setVictims(scope, { meddle });
    const told = await ask(victims).catch((error: Error) => error);
    expect(JSON.stringify(told)).not.toContain(SECRET);
    expect(
      victims.middle.wire
        .sent('down', 'data')
        .map(({ bytes }) => String(bytes))
        .join(),
    ).not.toContain(SECRET);
    expect(told).toBeInstanceOf(Error);
  });

  test('the prompt is swallowed: nothing is shown, and the session ends in time', async () => {
    const clock = Clock.install(scope);
    let note = (): void => undefined;
    const swallowed = new Promise<void>((resolve) => {
      note = resolve;
    });
    const victims = await setVictims(scope, {
      meddle: at('down key-nego 0', () => {
        note();
        return [];
      }),
    });
    const asked = failureOf(ask(victims));
    await swallowed;
    clock.pass(10_000);
    expect(await asked).toBeDefined();
    await expectKeyFailure(victims);
    expect(victims.middle.wire.sent('down', 'data')).toEqual([]);
  });
});

describe('C7: downgrade of a negotiation', () => {
  const PREFERRED = [ALGORITHM.PSK_X25519, ALGORITHM.SPIPED];

  async function negotiate(meddle?: Meddler) {
    const victims = await setVictims(scope, meddle ? { meddle } : {});
    const key = await victims.client
      .negotiate({ algorithm: PREFERRED, label: victims.keys.of(ALPHA), authority: ALPHA })
      .catch((error: Error) => error);
    if (key instanceof Error) return { victims, key, failure: key };
    const failure = await failureOf(tell(victims.client.request({ host: ALPHA, path: '/', key })));
    return { victims, key, failure };
  }

  test('control: the preferred algorithm', async () => {
    const { key, failure } = await negotiate();
    expect(key).toMatchObject({ algorithm: ALGORITHM.PSK_X25519, level: 'authenticated' });
    expect(failure).toBeUndefined();
  });

  /** A REJECT in the origin's name; what the client sent is swallowed. */
  const rejecting = (reason: number, algorithms: readonly number[]): Meddler =>
    at('up key-nego 0', (_passing, wire) => {
      wire.send(
        'down',
        encodeControl({
          type: 'key-nego',
          ...{ fin: true, reject: true, retire: false, keyId: 1, algorithm: ALGORITHM.PSK_X25519 },
          data: Uint8Array.from([reason, algorithms.length, ...algorithms]),
        }),
      );
      return [];
    });

  test.each<[string, number, readonly number[]]>([
    ['the weakest', 2, [ALGORITHM.PSK]],
    ['what proves nobody', 2, [ALGORITHM.ANONYMOUS]],
    ['nothing', 1, []],
    ['what nobody knows', 7, [99]],
    ['nothing, for later', 3, []],
  ])('a forged REJECT names %s: the call fails, and nothing is sent', async (_what, reason, algorithms) => {
    const { victims, failure } = await negotiate(rejecting(reason, algorithms));
    expect(codeOf(failure)).toBe('ERR_KEYMUX_NEGOTIATION_REJECTED');
    expect(victims.middle.wire.sent('up', 'key-nego')).toHaveLength(1);
    expect(victims.delivered).toEqual([]);
  });

  test('a forged REJECT names what the client offers too: it negotiates that, and finds the forgery', async () => {
    const { victims, failure } = await negotiate(rejecting(2, [ALGORITHM.SPIPED]));
    expect(failure).toBeDefined();
    await expectKeyFailure(victims);
    expect(victims.delivered).toEqual([]);
  });

  const changed = ({ bytes }: Passing, mask: number, index = 15): Buffer => flipped(bytes, index, mask);
  test.each<[string, Meddler]>([
    ['the client’s announcement', at('up settings 0', onlyPsk)],
    ['the origin’s announcement', at('down settings 0', onlyPsk)],
    ['the origin’s announcement, taken away', at('down settings 0', strip)],
    ['the list of what the client accepts', at('up key-nego 0', (passing) => changed(passing, 0x20))],
    ['the algorithm of the run', at('up key-nego 0', (passing) => changed(passing, 0x02, 9))],
    ['the label', at('up key-nego 0', ({ bytes }) => flipped(bytes, 19))],
    ['the host', at('up key-nego 0', ({ bytes }) => replaced(bytes, 'alpha', 'alphb'))],
    ['the answer', at('down key-nego 0', ({ bytes }) => flipped(bytes, -1))],
    ['the answer’s flags', at('down key-nego 0', ({ bytes }) => flipped(bytes, 4, 0x08))],
    ['settings, swallowed', dropped('down settings 0')],
  ])('%s: changed, and no key is used', async (_what, meddle) => {
    const { victims, failure } = await negotiate(meddle);
    expect(failure).toBeDefined();
    expect(victims.delivered).toEqual([]);
    await expectKeyFailure(victims);
  });
});

function replaced(bytes: Buffer, from: string, to: string): Buffer {
  const copy = Buffer.from(bytes);
  const index = copy.indexOf(from);
  if (index < 0) throw new Error(`"${from}" is not in the frame`);
  copy.write(to, index, 'latin1');
  return copy;
}
