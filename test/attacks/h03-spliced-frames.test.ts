import { setImmediate } from 'node:timers/promises';
import { afterEach, describe, expect, test } from 'vitest';
import { at, flipped, type Meddler } from '../support/middle.ts';
import { Scope } from '../support/scope.ts';
import { ALPHA, BETA, expectKeyFailure, failureOf, SECRET, setVictims, tell } from '../support/victims.ts';

const scope = new Scope();
afterEach(() => scope.close());

/** Requests to two hosts with a key each, one after the other but without waiting. */
async function run(meddle?: Meddler) {
  const victims = await setVictims(scope, meddle ? { meddle } : {});
  const keys = [await victims.key(ALPHA), await victims.key(BETA)];
  const asked = [];
  for (const [index, path] of ['/1', '/2', '/3', '/4'].entries()) {
    const key = keys[index % 2];
    asked.push(
      tell(victims.client.request({ host: index % 2 ? BETA : ALPHA, path, key })).catch(
        (error: Error) => error,
      ),
    );
    await setImmediate();
  }
  return { victims, told: await Promise.all(asked) };
}

/** Gives one frame back in the place of the next. */
function swapped(way: 'up' | 'down', first: number): Meddler {
  let held: Buffer | undefined;
  return ({ way: went, type, nth, bytes }) => {
    if (went !== way || type !== 'sealed') return undefined;
    if (nth === first) {
      held = bytes;
      return [];
    }
    return nth === first + 1 && held !== undefined ? [bytes, held] : undefined;
  };
}

describe('H3: sealed frames in another place', () => {
  test('control: each answer is that of its host', async () => {
    const { told, victims } = await run();
    expect(told.map((answer) => 'body' in answer && answer.body)).toEqual(
      [ALPHA, BETA, ALPHA, BETA].map((host) => `${SECRET} of ${host}, 0 bytes taken`),
    );
    expect(victims.delivered).toHaveLength(4);
  });

  const other = (bytes: Buffer): Buffer => flipped(bytes, 8, 0x02); // key 1 is alpha's, 3 is beta's
  test.each<[string, Meddler]>([
    [
      'two requests of one key change places',
      (() => {
        let held: Buffer | undefined;
        return ({ way, type, nth, bytes }) => {
          if (way !== 'up' || type !== 'sealed') return undefined;
          if (nth === 0) {
            held = bytes;
            return [];
          }
          return nth === 2 && held ? [bytes, held] : undefined;
        };
      })(),
    ],
    ['a request comes twice', at('up sealed 0', ({ bytes }) => [bytes, bytes])],
    [
      'a request comes again later',
      at('up sealed 3', ({ bytes }, wire) => [bytes, wire.sent('up', 'sealed')[0]?.bytes as Buffer]),
    ],
    ['a request goes to the other host', at('up sealed 0', ({ bytes }) => other(bytes))],
    [
      'a request comes back as an answer',
      at('up sealed 0', ({ bytes }, wire) => {
        wire.send('down', bytes);
        return [];
      }),
    ],
    [
      'an answer goes back as a request',
      at('down sealed 0', ({ bytes }, wire) => {
        wire.send('up', bytes);
        return [];
      }),
    ],
    ['an answer comes twice', at('down sealed 0', ({ bytes }) => [bytes, bytes])],
    ['an answer is that of the other host', at('down sealed 0', ({ bytes }) => other(bytes))],
    ['an answer has another generation', at('down sealed 0', ({ bytes }) => flipped(bytes, 9))],
    [
      'two envelopes are one',
      at('up sealed 1', ({ bytes }) => {
        const joined = Buffer.concat([bytes, bytes.subarray(10)]);
        joined.writeUIntBE(joined.length - 8, 5, 3);
        return joined;
      }),
    ],
    [
      'an envelope is two',
      at('up sealed 0', ({ bytes }) => {
        const half = 10 + Math.floor((bytes.length - 10) / 2);
        return [bytes.subarray(0, half), bytes.subarray(half)].map((part, index) => {
          const whole = index ? Buffer.concat([bytes.subarray(0, 10), part]) : Buffer.from(part);
          whole.writeUIntBE(whole.length - 8, 5, 3);
          return whole;
        });
      }),
    ],
  ])('%s: the session ends', async (_what, meddle) => {
    const { victims, told } = await run(meddle);
    await expectKeyFailure(victims);
    expect(told.filter((answer) => answer instanceof Error).length).toBeGreaterThan(0);
    const paths = victims.delivered.map(({ path }) => path);
    expect(new Set(paths).size).toBe(paths.length);
    for (const { host, path } of victims.delivered) expect(host).toBe(Number(path[1]) % 2 ? ALPHA : BETA);
  });

  test('answers under different keys may change places, and say the same', async () => {
    // They have no order among each other: their counters are their own.
    const { told } = await run(swapped('down', 0));
    expect(told.map((answer) => 'body' in answer && answer.body)).toEqual(
      [ALPHA, BETA, ALPHA, BETA].map((host) => `${SECRET} of ${host}, 0 bytes taken`),
    );
  });

  test('an envelope of another session of the same two', async () => {
    const victims = await setVictims(scope);
    const ask = async (client = victims.client) => {
      const key = await victims.key(ALPHA, undefined, client);
      return failureOf(tell(client.request({ host: ALPHA, path: '/', key })));
    };
    expect(await ask()).toBeUndefined();
    const second = await victims.connect();
    expect(await ask(second)).toBeUndefined();
    const [first, other] = victims.middle.wires;
    other?.send('up', first?.sent('up', 'sealed')[0]?.bytes as Buffer);
    await second.session.closed;
    expect(await victims.sessions[1]?.closed).toMatchObject({ code: 'ERR_KEYMUX_KEY_FAILURE' });
    expect(victims.sessions[0]?.canOpen).toBe(true);
  });
});
