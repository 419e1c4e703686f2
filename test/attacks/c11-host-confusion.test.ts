import { once } from 'node:events';
import { ALGORITHM, type KeyInfo } from '@keymux/keys';
import { encodeResponse, type MuxSession, type MuxStream } from '@keymux/streams';
import { afterEach, describe, expect, test } from 'vitest';
import { clearRequest } from '../support/forge.ts';
import { Scope } from '../support/scope.ts';
import { ALPHA, BETA, codeOf, failureOf, setVictims, tell, type Victims } from '../support/victims.ts';

const scope = new Scope();
afterEach(() => scope.close());

const answered = { status: 200, body: 'answered' };
const SEALED_HOSTS = {
  hosts: [ALPHA, BETA].map((name) => ({ name, sealed: true, handler: () => answered })),
};

describe('C11: two hosts, two keys, and the clear: two of six combinations pass', () => {
  const combinations: [string, string | undefined, string][] = [
    [ALPHA, ALPHA, '200 OK'],
    [BETA, BETA, '200 OK'],
    [ALPHA, BETA, '421 Misdirected Request'],
    [BETA, ALPHA, '421 Misdirected Request'],
    [ALPHA, undefined, '426 Upgrade Required'],
    [BETA, undefined, '426 Upgrade Required'],
  ];
  test.each(combinations)('%s under the key of %s: %s', async (host, authority, status) => {
    const { client, key } = await setVictims(scope, { origin: SEALED_HOSTS });
    const stream = client.session.openStream(clearRequest('GET', host, '/'), {
      key: authority === undefined ? undefined : await key(authority),
      fin: true,
    });
    await once(stream, 'reply');
    stream.resume();
    expect(stream.replyHeaders?.[0]).toEqual([':status', status]);
  });

  test('a host that is not served is nobody’s: there is no default', async () => {
    const { client } = await setVictims(scope);
    expect(await tell(client.request({ host: 'gamma.test', path: '/' }))).toMatchObject({ status: 421 });
  });
});

describe('C11: the client uses no key, and no answer, of another host', () => {
  test('its own key of another host: nothing is sent', async () => {
    const { client, middle, key, delivered } = await setVictims(scope);
    const beta = await key(BETA);
    const error = await failureOf(client.request({ host: ALPHA, path: '/', key: beta }));
    expect(codeOf(error)).toBe('ERR_KEYMUX_HOST_KEY');
    expect(String(error)).toMatch(/nothing was sent/);
    expect(middle.wire.sent('up', 'sealed')).toEqual([]);
    expect(delivered).toEqual([]);
  });

  test('the port is no part of the host', async () => {
    const { client, key } = await setVictims(scope);
    const told = await tell(client.request({ host: `${ALPHA}:6121`, path: '/', key: await key(ALPHA) }));
    expect(told).toMatchObject({ status: 200, level: 'authenticated' });
  });

  /** An origin that holds the keys of several hosts, and answers under whichever it likes. */
  async function liar(victims: Victims, answersUnder: string): Promise<MuxSession> {
    const [session] = victims.sessions;
    if (session === undefined) throw new Error('the origin has no session');
    session.removeAllListeners('stream');
    const key = await session.negotiate({
      algorithm: ALGORITHM.PSK_X25519,
      label: victims.keys.of(answersUnder),
      authority: answersUnder,
    });
    session.on('stream', (stream: MuxStream) => {
      stream.respond(encodeResponse(200, 'OK'), { key });
      stream.end('LIES');
    });
    return session;
  }

  test.each<[string, string | undefined, string]>([
    ['in the clear, answered under another host’s key', undefined, BETA],
    ['in the clear, answered by whoever ends the session', undefined, ''],
    ['sealed, answered under another host’s key', ALPHA, BETA],
    ['sealed, answered by whoever ends the session', ALPHA, ''],
    ['sealed for who ends the session, answered under another host’s key', '', BETA],
  ])('a request %s: the answer is not used', async (_how, asksUnder, answersUnder) => {
    const victims = await setVictims(scope);
    let key: KeyInfo | undefined;
    if (asksUnder !== undefined) key = await victims.key(asksUnder);
    else await once(victims.client.session, 'announced');
    await liar(victims, answersUnder);
    const told = await tell(victims.client.request({ host: ALPHA, path: '/', key })).catch((error) => error);
    expect(codeOf(told)).toBe('ERR_KEYMUX_HOST_KEY');
    expect(String(told)).toMatch(/not used/);
  });

  test('control: the host’s own key, also another than that of the request', async () => {
    const victims = await setVictims(scope);
    const key = await victims.key(ALPHA);
    await liar(victims, ALPHA);
    const told = await tell(victims.client.request({ host: ALPHA, path: '/', key }));
    expect(told).toEqual({ status: 200, level: 'authenticated', body: 'LIES' });
  });

  test('a body that goes on under another host’s key is cut off', async () => {
    const victims = await setVictims(scope);
    await victims.key(ALPHA);
    const [session] = victims.sessions;
    session?.removeAllListeners('stream');
    const accepted = once(session as MuxSession, 'stream');
    const asked = victims.client.request({ host: ALPHA, path: '/' });
    const [far] = (await accepted) as [MuxStream];
    far.respond(encodeResponse(200, 'OK'));
    far.write('of alpha, ');
    const answer = await asked;
    const beta = await (session as MuxSession).negotiate({
      algorithm: ALGORITHM.PSK_X25519,
      label: victims.keys.of(BETA),
      authority: BETA,
    });
    far.switchKey(beta);
    far.write('of beta');
    const [error] = await once(answer.body.resume(), 'error');
    expect(codeOf(error as Error)).toBe('ERR_KEYMUX_HOST_KEY');
  });
});
