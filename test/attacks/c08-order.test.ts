import { createCipheriv } from 'node:crypto';
import { once } from 'node:events';
import { connect } from 'node:net';
import { encodeControl, encodeSealedHead, type KeyNego } from '@keymux/frames';
import { ALGORITHM } from '@keymux/keys';
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import { Clock } from '../support/clock.ts';
import { clearRequest, clearSyn } from '../support/forge.ts';
import { ahead, at, flipped, type Meddler, type Passing } from '../support/middle.ts';
import { Scope } from '../support/scope.ts';
import { ALPHA, expectKeyFailure, failureOf, setVictims, tell, type Victims } from '../support/victims.ts';

const scope = new Scope();
const shared = new Scope();
afterEach(() => scope.close());
afterAll(() => shared.close());

const METHODS = [
  { name: 'psk', algorithm: ALGORITHM.PSK, messages: ['up 0', 'down 0'] },
  { name: 'spiped', algorithm: ALGORITHM.SPIPED, messages: ['up 0', 'down 0', 'up 1', 'down 1'] },
  { name: 'psk-x25519', algorithm: ALGORITHM.PSK_X25519, messages: ['up 0', 'down 0'] },
  { name: 'hybrid', algorithm: ALGORITHM.HYBRID, messages: ['up 0', 'down 0'] },
];

/** An envelope that anybody can make: its key, IV and additional data are what they are before there is a key. */
function emptyEnvelope(keyId: number): Uint8Array {
  const plaintext = encodeControl({ type: 'ping', id: 1 });
  const head = encodeSealedHead(keyId, 0, plaintext.length + 16);
  const cipher = createCipheriv('aes-256-gcm', Buffer.alloc(32), Buffer.alloc(12));
  cipher.setAAD(Buffer.concat([Buffer.from('keymux/1 sealed\0\x01'), head]));
  return Buffer.concat([head, cipher.update(plaintext), cipher.final(), cipher.getAuthTag()]);
}

async function negotiate(
  algorithm: number,
  meddle?: Meddler,
): Promise<Victims & { failure: Error | undefined }> {
  const victims = await setVictims(scope, meddle ? { meddle } : {});
  const failure = await failureOf(
    victims
      .key(ALPHA, algorithm)
      .then((key) => tell(victims.client.request({ host: ALPHA, path: '/', key }))),
  );
  return { ...victims, failure };
}

describe.each(METHODS)('C8: messages out of order, $name', ({ algorithm, messages }) => {
  test('control: in order', async () => {
    const { failure, delivered } = await negotiate(algorithm);
    expect(failure).toBeUndefined();
    expect(delivered).toHaveLength(1);
  });

  test.each(messages)(
    'message %s never arrives: nothing is established, and the session ends in time',
    async (which) => {
      const clock = Clock.install(scope);
      const [way, nth] = which.split(' ');
      let note = (): void => undefined;
      const dropped = new Promise<void>((resolve) => {
        note = resolve;
      });
      const drop = at(`${way} key-nego ${nth}`, () => {
        note();
        return [];
      });
      const done = negotiate(algorithm, drop);
      await dropped;
      clock.pass(10_000);
      const { failure, delivered } = await done;
      expect(failure).toMatchObject({ code: 'ERR_KEYMUX_KEY_FAILURE' });
      expect(delivered).toEqual([]);
    },
  );

  test.each(messages)('an envelope comes before message %s', async (which) => {
    const [way, nth] = which.split(' ');
    const victims = await negotiate(algorithm, ahead(`${way} key-nego ${nth}`, emptyEnvelope(1)));
    expect(victims.failure).toBeDefined();
    expect(victims.delivered).toEqual([]);
    await expectKeyFailure(victims);
  });

  test.each(messages)('message %s says that it is the last, or not, against the rule', async (which) => {
    const [way, nth] = which.split(' ');
    const meddle = at(`${way} key-nego ${nth}`, ({ bytes }) => flipped(bytes, 4));
    const victims = await negotiate(algorithm, meddle);
    expect(victims.failure).toBeDefined();
    expect(victims.delivered).toEqual([]);
    await expectKeyFailure(victims);
  });
});

describe('C8: an origin gets messages of honest runs in every other order', () => {
  let victims: Victims;
  const runs = new Map<string, Passing[]>();
  beforeAll(async () => {
    victims = await setVictims(shared);
    for (const { name, algorithm } of METHODS) {
      const client = await victims.connect();
      await victims.key(ALPHA, algorithm, client);
      const wire = victims.middle.wires.at(-1);
      runs.set(name, wire?.seen.filter(({ type }) => type === 'key-nego') ?? []);
    }
  });

  /** Plays messages to the origin, then asks for something under the key that they might have made; why the origin ended the session. */
  async function play(messages: readonly Uint8Array[]): Promise<unknown> {
    const before = victims.sessions.length;
    const socket = connect({ port: victims.port, host: '127.0.0.1' });
    socket.on('error', () => undefined);
    socket.resume();
    const settings = victims.middle.wire.sent('up', 'settings')[0]?.bytes as Buffer;
    const ask = clearSyn(1, clearRequest('GET', ALPHA, '/'), { fin: true });
    socket.write(Buffer.concat([settings, ...messages, emptyEnvelope(1), ask]));
    await once(socket, 'close');
    return victims.sessions[before]?.closed;
  }

  test.each(METHODS)('$name', async ({ name }) => {
    const messages = (runs.get(name) ?? []).map(({ bytes }) => bytes);
    expect(messages.length).toBeGreaterThanOrEqual(2);
    // With the other parity they are messages that only a server may send.
    const swapped = messages.map((bytes) =>
      Buffer.concat([bytes.subarray(0, 8), Buffer.of(2), bytes.subarray(9)]),
    );
    let played = 0;
    for (const order of [...orders(messages), ...orders(swapped)]) {
      expect(await play(order)).toMatchObject({ code: 'ERR_KEYMUX_KEY_FAILURE' });
      played++;
    }
    expect(played).toBeGreaterThanOrEqual(8);
    expect(victims.delivered).toEqual([]);
  });

  test('a REJECT or RETIRE for what was never begun', async () => {
    const frames = [{ reject: true }, { retire: true }].map((flags) =>
      encodeControl({
        type: 'key-nego',
        ...{ keyId: 1, algorithm: ALGORITHM.PSK_X25519, fin: true, reject: false, retire: false },
        ...flags,
        data: 'reject' in flags ? Uint8Array.of(1, 0) : new Uint8Array(0),
      } satisfies KeyNego),
    );
    for (const frame of frames) {
      expect(await play([frame])).toMatchObject({ code: 'ERR_KEYMUX_KEY_FAILURE' });
    }
  });
});

/** All sequences without repetition, of all lengths. */
function orders<T>(items: readonly T[]): T[][] {
  return items.flatMap((item, index) => {
    const rest = orders(items.filter((_, other) => other !== index));
    return [[item], ...rest.map((order) => [item, ...order])];
  });
}
