import { once } from 'node:events';
import { encodeResponse, type MuxStream } from '@keymux/streams';
import { afterEach, describe, expect, test } from 'vitest';
import { clearAnswer, clearRequest } from '../support/forge.ts';
import { ahead, at, type Meddler } from '../support/middle.ts';
import { Scope } from '../support/scope.ts';
import { ALPHA, codeOf, expectKeyFailure, failureOf, SECRET, setVictims, tell } from '../support/victims.ts';

const scope = new Scope();
afterEach(() => scope.close());

describe('C21: the request is sealed, the answer is not', () => {
  test.each<[string, Meddler]>([
    ['forged, ahead of the true one', ahead('down sealed 0', clearAnswer(1, 'FORGED'))],
    ['forged, in its place', at('down sealed 0', () => clearAnswer(1, 'FORGED'))],
  ])('%s: nothing is handed out, and the session ends', async (_how, meddle) => {
    const victims = await setVictims(scope, { meddle });
    const key = await victims.key(ALPHA);
    const error = await failureOf(
      tell(victims.client.request({ host: ALPHA, path: '/', key, level: 'none' })),
    );
    expect(error).toBeDefined();
    await expectKeyFailure(victims);
  });
});

describe('C21: the answer is sealed, the request was not', () => {
  test('the stream has the level of its weaker direction, each header set that of its own', async () => {
    const { client } = await setVictims(scope);
    const answer = await client.request({ host: ALPHA, path: '/prompt' });
    answer.body.resume();
    const { security } = answer;
    expect(security.level).toBe('none');
    expect(security.sent).toMatchObject({ level: 'none', peer: undefined, reach: undefined });
    expect(security.head).toMatchObject({ level: 'authenticated', reach: 'end-to-end', early: false });
  });

  test('a clear answer in its place is thrown away where the level is required', async () => {
    const { client } = await setVictims(scope);
    const asked = client.request({ host: ALPHA, path: '/', level: 'authenticated' });
    const error = await failureOf(tell(asked));
    expect(codeOf(error)).toBe('ERR_KEYMUX_LEVEL');
    expect(String(error)).not.toContain(SECRET);
  });
});

describe('C21: the head is sealed, the payload is not', () => {
  /** The origin's end of a stream whose payload travels outside envelopes, and the client's. */
  async function outside(headers = clearRequest('CONNECT', ALPHA, `${ALPHA}:1`)) {
    const { client, sessions, key } = await setVictims(scope);
    const connection = await key('');
    const [session] = sessions;
    session?.removeAllListeners('stream');
    const accepted = once(session as NonNullable<typeof session>, 'stream');
    const near = client.session.openStream(headers, { key: connection, payloadOutside: true });
    const [far] = (await accepted) as [MuxStream];
    return { near, far };
  }

  test('each side claims for the payload nothing that holds for the head only', async () => {
    const { near, far } = await outside();
    expect(far.security).toMatchObject({ level: 'none', payload: 'none', head: { level: 'authenticated' } });
    expect(far.security.received.level).toBe('authenticated'); // no payload has come
    near.write('payload');
    await once(far, 'data');
    expect(far.security.received).toMatchObject({ level: 'none', peer: undefined, key: undefined });
    expect(near.security.sent.level).toBe('none');
    expect(far.security.head).toMatchObject({ level: 'authenticated', reach: 'hop' });
    far.respond(encodeResponse(200, 'OK'));
    far.write('answer');
    await once(near, 'data');
    expect(near.security.received.level).toBe('none');
    expect(near.security.head.level).toBe('authenticated');
  });

  test('an origin answers no request so, which would show the page', async () => {
    const { client, middle, key, delivered } = await setVictims(scope);
    const stream = client.session.openStream(clearRequest('GET', ALPHA, '/'), {
      key: await key(ALPHA),
      payloadOutside: true,
    });
    stream.end();
    await once(stream.resume(), 'end');
    expect(stream.replyHeaders?.[0]).toEqual([':status', '400 Bad Request']);
    expect(delivered).toEqual([]);
    const payload = middle.wire.sent('down', 'data').map(({ bytes }) => bytes.toString());
    expect(payload.join()).not.toContain(SECRET);
  });
});
