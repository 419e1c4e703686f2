import { once } from 'node:events';
import { encodeControl, SETTING } from '@keymux/frames';
import { afterEach, describe, expect, test } from 'vitest';
import { type Door, type DoorOptions, setDoor } from '../support/front-door.ts';
import { flipped, type Meddler, type Passing } from '../support/middle.ts';
import { Scope } from '../support/scope.ts';
import { ALPHA, BETA, codeOf, failureOf, tell } from '../support/victims.ts';

// A front that lies is one that somebody has put himself in the place of: he stands on the links, and on the wire to the client. All that he
// may bring about is an error; what the other host says, he does not touch.

const scope = new Scope();
afterEach(() => scope.close());

const FRONT_NEGO = 0x4e;
const FRONT_SENT = 0x4f;

const isLinkFrame = ({ bytes }: Passing, code: number): boolean => bytes.readUInt16BE(2) === code;
const envelopes =
  (way: Passing['way'], instead: (passing: Passing) => ReturnType<Meddler>): Meddler =>
  (passing) =>
    passing.way === way && passing.type === 'sealed' ? instead(passing) : undefined;

/** Asks alpha and beta; what alpha's man does must be an error for alpha, and beta must not notice unless the whole session is over. */
async function expectOnlyErrors(door: Door): Promise<void> {
  const { client, key, alpha } = door;
  const asked = async (host: string, path: string) =>
    tell(client.request({ host, path, key: await key(host) }));
  const outcomes = await Promise.all(['/1', '/2'].map((path) => failureOf(asked(ALPHA, path))));
  expect(outcomes.filter((error) => error === undefined).length).toBeLessThan(2);
  for (const error of outcomes) {
    if (error !== undefined) expect(codeOf(error)).toMatch(/^ERR_KEYMUX_/);
  }
  expect(alpha.requests.filter((entry) => entry === 'GET /1').length).toBeLessThanOrEqual(1);
  if (client.session.takesStreams) expect((await asked(BETA, '/')).status).toBe(200);
}

describe('a front that lies on the link', () => {
  let held: Buffer | undefined;
  const onAlpha: Record<string, Meddler> = {
    'about the client’s digest': (passing) =>
      isLinkFrame(passing, FRONT_NEGO) ? flipped(passing.bytes, 8) : undefined,
    'about its own digest': (passing) =>
      isLinkFrame(passing, FRONT_SENT) ? flipped(passing.bytes, -1) : undefined,
    'about the offer': (passing) =>
      isLinkFrame(passing, FRONT_NEGO) ? flipped(passing.bytes, 8 + 32 + 15) : undefined,
    'about the depth of the session': ({ way, type, frame, nth }) => {
      if (way === 'down' || type !== 'settings' || nth > 0 || frame?.type !== 'settings') return undefined;
      const entries = frame.entries.map((entry) =>
        entry.id === SETTING.KEYMUX ? { ...entry, value: entry.value + 2 ** 24 } : entry,
      );
      return encodeControl({ ...frame, entries });
    },
    'and drops the first envelope to the host': envelopes('up', ({ nth }) => (nth === 0 ? [] : undefined)),
    'and drops the first envelope of the host': envelopes('down', ({ nth }) => (nth === 0 ? [] : undefined)),
    'and says FRONT_SENT twice': (passing) =>
      isLinkFrame(passing, FRONT_SENT) ? [passing.bytes, passing.bytes] : undefined,
    'and repeats what the client sealed': envelopes('up', ({ bytes }) => [bytes, bytes]),
    'and repeats what the host sealed': envelopes('down', ({ bytes }) => [bytes, bytes]),
    'and alters what the client sealed': envelopes('up', ({ bytes }) => flipped(bytes, -20)),
    'and changes the order': envelopes('up', ({ bytes, nth }) => {
      if (nth > 0) return held === undefined ? undefined : [bytes, held];
      held = bytes;
      return [];
    }),
    'and claims another generation': envelopes('up', ({ bytes }) => flipped(bytes, 9)),
    'and claims another key': envelopes('up', ({ bytes }) => flipped(bytes, 8, 2)),
    'and puts DATA on it': (passing, wire) => {
      if (passing.type === 'sealed' && passing.way === 'up' && passing.nth === 0)
        wire.send('up', Buffer.from('00000001000000026869', 'hex'));
      return undefined;
    },
    'and opens a stream in the clear': (passing, wire) => {
      if (passing.type === 'sealed' && passing.way === 'up' && passing.nth === 0)
        wire.send('up', Buffer.from('800300010000000a00000001000000000000', 'hex'));
      return undefined;
    },
    'and passes KEY_NEGO without a digest': (passing) =>
      isLinkFrame(passing, FRONT_NEGO) ? passing.bytes.subarray(8 + 32) : undefined,
    'and greets twice': ({ bytes, way, nth, type }) =>
      way === 'up' && type === 'unknown' && nth === 0 ? [bytes, bytes] : undefined,
  };

  test.each(Object.entries(onAlpha))('%s', async (_name, meddle) => {
    held = undefined;
    const options: DoorOptions = { meddle: { alpha: meddle }, front: { hostTimeout: 1000 } };
    await expectOnlyErrors(await setDoor(scope, options));
  });

  test('and sends the host its own envelopes: they are not the client’s', async () => {
    const { client, key } = await setDoor(scope, {
      meddle: {
        alpha: (passing, wire) => {
          if (passing.way === 'down' && passing.type === 'sealed') wire.send('up', passing.bytes);
          return undefined;
        },
      },
    });
    const gone = once(client.session, 'keyGone');
    const asked = failureOf(key(ALPHA).then((a) => tell(client.request({ host: ALPHA, path: '/', key: a }))));
    expect((await gone)[1]).toMatchObject({ code: 'ERR_KEYMUX_KEY_FAILURE' });
    await asked;
    expect((await tell(client.request({ host: BETA, path: '/', key: await key(BETA) }))).status).toBe(200);
  });

  test('and brings the runs for one host to the other: none succeeds, and no request arrives', async () => {
    const hosts: DoorOptions['hosts'] = (alpha, beta) => [
      [ALPHA, beta.link.port],
      [BETA, alpha.link.port],
    ];
    const { key, alpha, beta } = await setDoor(scope, { hosts });
    for (const host of [ALPHA, BETA])
      expect(await failureOf(key(host))).toMatchObject({ code: 'ERR_KEYMUX_KEY_FAILURE' });
    expect([...alpha.requests, ...beta.requests]).toEqual([]);
  });

  test('and moves an envelope from one key to another', async () => {
    let stolen: Buffer | undefined;
    const door = await setDoor(scope, {
      meddle: {
        alpha: envelopes('up', ({ bytes, nth }) => {
          if (nth === 1) stolen = bytes;
          return undefined;
        }),
        beta: envelopes('up', ({ bytes, nth }) => {
          if (nth !== 1 || stolen === undefined) return undefined;
          const moved = Buffer.from(stolen);
          moved[8] = bytes[8] as number;
          return [moved];
        }),
      },
    });
    const { client, key, alpha, beta } = door;
    const [a, b] = [await key(ALPHA), await key(BETA)];
    await tell(client.request({ host: ALPHA, path: '/secret', key: a }));
    expect(stolen).toBeDefined();
    const error = await failureOf(tell(client.request({ host: BETA, path: '/', key: b })));
    expect(error?.cause).toMatchObject({ code: 'ERR_KEYMUX_KEY_FAILURE' });
    expect(beta.requests).toEqual([]);
    expect((await tell(client.request({ host: ALPHA, path: '/after', key: a }))).status).toBe(200);
    expect(alpha.requests).toHaveLength(4);
  });
});

describe('on the wire between client and front', () => {
  test('KEY_GONE can be forged: it ends that key and its streams, with an error, and nothing else', async () => {
    const { client, key, wire } = await setDoor(scope);
    const [a, b] = [await key(ALPHA), await key(BETA)];
    const waiting = failureOf(client.request({ host: ALPHA, path: '/never', key: a }));
    wire.wire.send('down', encodeControl({ type: 'key-gone', keyId: a.keyId, status: 0 }));
    expect((await waiting)?.cause).toMatchObject({ code: 'ERR_KEYMUX_GOING_AWAY' });
    expect((await tell(client.request({ host: BETA, path: '/', key: b }))).status).toBe(200);
    // Digests no longer agree, so nothing can be negotiated any more.
    expect(await failureOf(negotiated(key(ALPHA), client))).toBeDefined();
  });

  const settings =
    (change: (entries: { id: number; value: number; flags: number }[]) => typeof entries): Meddler =>
    ({ way, frame, nth }) =>
      way === 'down' && frame?.type === 'settings' && nth === 0
        ? encodeControl({ ...frame, entries: change([...frame.entries]) })
        : undefined;

  test.each<[string, Meddler]>([
    ['taken out', settings((entries) => entries.filter(({ id }) => id !== SETTING.KEYMUX_FRONT))],
    [
      'changed to another version',
      settings((entries) =>
        entries.map((entry) => (entry.id === SETTING.KEYMUX_FRONT ? { ...entry, value: 2 } : entry)),
      ),
    ],
  ])('the announcement of the front is %s: nothing opens', async (_name, meddle) => {
    const { client, key, alpha } = await setDoor(scope, { meddle: { client: meddle } });
    const asked = key(ALPHA).then((a) => tell(client.request({ host: ALPHA, path: '/', key: a })));
    expect(await failureOf(asked)).toBeDefined();
    expect(alpha.requests).toEqual([]);
  });

  test('envelopes of one key are put in under the other: both ends see it', async () => {
    const { client, key, wire, beta } = await setDoor(scope);
    const [a, b] = [await key(ALPHA), await key(BETA)];
    await tell(client.request({ host: ALPHA, path: '/', key: a }));
    const copy = Buffer.from(wire.wire.sent('up', 'sealed').at(-1)?.bytes as Buffer);
    copy[8] = b.keyId;
    wire.wire.send('up', copy);
    const error = await failureOf(tell(client.request({ host: BETA, path: '/', key: b })));
    expect(error).toBeDefined();
    expect(beta.requests).toEqual([]);
  });
});

/** A key that was negotiated over different digests shows only in use. */
async function negotiated(key: ReturnType<Door['key']>, client: Door['client']): Promise<void> {
  await tell(client.request({ host: ALPHA, path: '/', key: await key }));
}
