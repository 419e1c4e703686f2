import { setImmediate } from 'node:timers/promises';
import { encodeControl } from '@keymux/frames';
import { afterEach, describe, expect, test } from 'vitest';
import type { Meddler, Middle, Passing } from '../support/middle.ts';
import { flipped } from '../support/middle.ts';
import { Scope } from '../support/scope.ts';
import { ALPHA, expectKeyFailure, failureOf, SECRET, setVictims, tell } from '../support/victims.ts';

const scope = new Scope();
afterEach(() => scope.close());

const isEnvelope = ({ way, type }: Passing): boolean => way === 'up' && type === 'sealed';

describe('the man in the middle', () => {
  test('who only watches changes nothing, and sees every frame whole', async () => {
    const { client, middle, key, delivered } = await setVictims(scope);
    const sealed = await tell(
      client.request({
        host: ALPHA,
        path: '/a',
        method: 'POST',
        body: 'x'.repeat(200_000),
        key: await key(ALPHA),
      }),
    );
    expect(sealed).toMatchObject({ status: 200, level: 'authenticated' });
    expect(sealed.body).toBe(`${SECRET} of ${ALPHA}, 200000 bytes taken`);
    expect((await tell(client.request({ host: ALPHA, path: '/b' }))).level).toBe('none');
    expect(delivered.map(({ path }) => path)).toEqual(['/a', '/b']);
    expect(middle.wire.sent('up', 'key-nego')).toHaveLength(1);
    expect(middle.wire.sent('up', 'sealed').length).toBeGreaterThanOrEqual(3);
    expect(middle.wire.sent('up', 'syn-stream')).toHaveLength(1);
    for (const { bytes } of middle.wire.seen) expect(bytes.readUIntBE(5, 3)).toBe(bytes.length - 8);
  });

  test('bytes put in take their place between frames', async () => {
    const { client, middle } = await setVictims(scope);
    await tell(client.request({ host: ALPHA, path: '/' }));
    middle.wire.send('down', encodeControl({ type: 'ping', id: 2 }));
    await tell(client.request({ host: ALPHA, path: '/' }));
    expect(middle.wire.sent('up', 'ping')).toHaveLength(1); // the client has answered
  });

  const attacks: Record<string, Meddler> = {
    drop: (passing) => (isEnvelope(passing) && passing.nth === 0 ? [] : undefined),
    replay: (passing) => (isEnvelope(passing) ? [passing.bytes, passing.bytes] : undefined),
    edit: (passing) => (isEnvelope(passing) ? flipped(passing.bytes, -20) : undefined),
    reflect: (passing, wire) => {
      if (isEnvelope(passing)) wire.send('down', passing.bytes);
      return undefined;
    },
    reorder: (() => {
      let held: Buffer | undefined;
      return (passing) => {
        if (!isEnvelope(passing)) return undefined;
        if (held !== undefined) return [passing.bytes, held];
        held = passing.bytes;
        return [];
      };
    })(),
  };

  test.each(Object.entries(attacks))('%s: both ends notice', async (_name, meddle) => {
    const victims = await setVictims(scope, { meddle });
    const { client, key, delivered } = victims;
    const alpha = await key(ALPHA);
    const asked = [];
    for (const path of ['/1', '/2']) {
      asked.push(failureOf(tell(client.request({ host: ALPHA, path, key: alpha }))));
      await setImmediate(); // an envelope for each
    }
    await client.session.closed;
    expect((await Promise.all(asked)).filter((error) => error !== undefined).length).toBeGreaterThan(0);
    await expectKeyFailure(victims);
    expect(delivered.length).toBeLessThanOrEqual(2);
  });

  test('splice: an envelope of one session into another', async () => {
    let middle: Middle | undefined;
    const victims = await setVictims(scope, {
      meddle: (passing, wire) => {
        const [first, second] = middle?.wires ?? [];
        if (!isEnvelope(passing) || wire !== second || first === undefined) return undefined;
        first.send('up', passing.bytes);
        return [];
      },
    });
    middle = victims.middle;
    await tell(victims.client.request({ host: ALPHA, path: '/', key: await victims.key(ALPHA) }));
    const other = await victims.connect();
    const key = await victims.key(ALPHA, undefined, other);
    void failureOf(other.request({ host: ALPHA, path: '/spliced', key }));
    await expectKeyFailure(victims);
    expect(victims.delivered.map(({ path }) => path)).toEqual(['/']);
  });
});
