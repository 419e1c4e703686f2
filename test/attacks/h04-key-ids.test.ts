import { randomBytes } from 'node:crypto';
import { ALGORITHM, PreSharedKey } from '@keymux/keys';
import { afterEach, describe, expect, test } from 'vitest';
import { ANNOUNCEMENT, Attacker } from '../support/attacker.ts';
import { at, flipped } from '../support/middle.ts';
import { cat, frame, longTermKeys, offerFields, type RunInputs } from '../support/reference-keys.ts';
import { Scope } from '../support/scope.ts';
import {
  ALPHA,
  BETA,
  expectKeyFailure,
  failureOf,
  KEY_FAILURE,
  Keys,
  setVictims,
  tell,
} from '../support/victims.ts';

const scope = new Scope();
afterEach(() => scope.close());

/** An insider: he holds a key of the origin, and uses IDs as he likes. */
async function insider() {
  const keyFile = randomBytes(32);
  const keys = new Keys({ alpha: new PreSharedKey(keyFile) });
  const victims = await setVictims(scope, { keys });
  const inputs: RunInputs = {
    ...{ keyFile, label: longTermKeys(keyFile).label, authority: ALPHA, offer: 1 << ALGORITHM.SPIPED },
    ...{ depth: 0, initiator: 'client', keyId: 1 },
  };
  const begin = (keyId: number): Buffer =>
    frame(keyId, ALGORITHM.SPIPED, 0, cat(offerFields(inputs), randomBytes(32)));
  const attacker = await Attacker.connect(scope, victims.port);
  attacker.send(ANNOUNCEMENT);
  const ended = async (): Promise<unknown> => {
    await attacker.closed;
    return victims.sessions.at(-1)?.closed;
  };
  return { victims, attacker, begin, ended };
}

describe('H4: key IDs', () => {
  test('control: IDs that rise are answered', async () => {
    const { attacker, begin } = await insider();
    attacker.send(begin(1), begin(3), begin(9), begin(255));
    await attacker.message(3);
    expect(attacker.messages.map(({ length }) => length)).toEqual([32, 32, 32, 32]);
    expect(attacker.goaways).toEqual([]);
  });

  test.each<[string, readonly number[]]>([
    ['an ID again while its run is open', [1, 1]],
    ['an ID lower than one before', [3, 1]],
    ['an ID that was left out', [1, 5, 3]],
    ['an ID of the other side', [2]],
    ['the last ID again', [255, 255]],
  ])('%s ends the session', async (_what, ids) => {
    const { attacker, begin, ended } = await insider();
    attacker.send(...ids.map(begin));
    expect(await ended()).toMatchObject({ code: KEY_FAILURE });
    expect(attacker.goaways).toEqual([0x4b01]);
  });

  test('ID 0 is no key', async () => {
    const { attacker, begin, ended } = await insider();
    attacker.send(begin(0));
    await ended();
    expect(attacker.goaways).toEqual([1]);
  });

  test.each([0, 1, 2, 3, 127, 254, 255])('an envelope of key %d, which nobody has made', async (keyId) => {
    const { attacker, ended } = await insider();
    attacker.send(Buffer.from([0x80, 3, 0, 0x53, 0, 0, 0, 42, keyId, 0]), randomBytes(40));
    expect(await ended()).toMatchObject({ code: KEY_FAILURE });
  });

  test.each([1, 2, 255])('an envelope of generation %d, which does not exist', async (generation) => {
    const victims = await setVictims(scope, {
      meddle: at('up sealed 0', ({ bytes }) => flipped(bytes, 9, generation)),
    });
    const key = await victims.key(ALPHA);
    expect(await failureOf(tell(victims.client.request({ host: ALPHA, path: '/', key })))).toBeDefined();
    await expectKeyFailure(victims);
    expect(victims.delivered).toEqual([]);
  });

  test('an envelope of one key with the ID of another', async () => {
    const victims = await setVictims(scope, {
      meddle: at('up sealed 0', ({ bytes }) => flipped(bytes, 8, 0x02)),
    });
    const [alpha] = [await victims.key(ALPHA), await victims.key(BETA)];
    expect(
      await failureOf(tell(victims.client.request({ host: ALPHA, path: '/', key: alpha }))),
    ).toBeDefined();
    await expectKeyFailure(victims);
    expect(victims.delivered).toEqual([]);
  });

  test('both sides begin a run at once: two keys, each with its own ID', async () => {
    const victims = await setVictims(scope);
    await tell(victims.client.request({ host: ALPHA, path: '/' }));
    const request = { algorithm: ALGORITHM.PSK_X25519, label: victims.keys.of(ALPHA), authority: ALPHA };
    const [ours, theirs] = await Promise.all([
      victims.client.negotiate(request),
      victims.sessions[0]?.negotiate(request),
    ]);
    expect([ours.keyId, theirs?.keyId]).toEqual([1, 2]);
    expect(await tell(victims.client.request({ host: ALPHA, path: '/', key: ours }))).toMatchObject({
      status: 200,
    });
    expect(await tell(victims.client.request({ host: ALPHA, path: '/prompt' }))).toMatchObject({
      level: 'authenticated',
    });
  });

  test.each<[string, (envelopes: readonly Buffer[]) => Buffer]>([
    ['an envelope of the old generation again', ([old]) => old as Buffer],
    ['a new envelope with the old generation', (envelopes) => flipped(envelopes.at(-1) as Buffer, 9)],
    ['an envelope of a generation to come', (envelopes) => flipped(envelopes.at(-1) as Buffer, 9, 3)],
  ])('when a key has been renegotiated, %s ends the session', async (_what, forge) => {
    const victims = await setVictims(scope);
    const { client, middle } = victims;
    const key = await victims.key(ALPHA);
    const ask = (path: string) => tell(client.request({ host: ALPHA, path, key }));
    await ask('/1');
    await client.session.renegotiate(key);
    expect(await ask('/2')).toMatchObject({ status: 200 });
    const envelopes = middle.wire.sent('up', 'sealed').map(({ bytes }) => bytes);
    expect(envelopes.map((bytes) => bytes[9])).toEqual(expect.arrayContaining([0, 1]));
    middle.wire.send('up', forge(envelopes));
    await expectKeyFailure(victims);
    expect(victims.delivered.map(({ path }) => path)).toEqual(['/1', '/2']);
  });
});
