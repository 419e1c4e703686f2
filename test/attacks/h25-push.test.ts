import { once } from 'node:events';
import { RST } from '@keymux/frames';
import type { MuxStream } from '@keymux/streams';
import { afterEach, describe, expect, test } from 'vitest';
import { clearRequest, clearSyn } from '../support/forge.ts';
import { Scope } from '../support/scope.ts';
import { ALPHA, BETA, setVictims, tell } from '../support/victims.ts';

const scope = new Scope();
afterEach(() => scope.close());

/** The origin's side of a session in which the client has a key for alpha. */
async function pushing() {
  const victims = await setVictims(scope);
  const key = await victims.key(ALPHA);
  await tell(victims.client.request({ host: ALPHA, path: '/', key }));
  const [session] = victims.sessions;
  if (session === undefined) throw new Error('no session');
  const push = (host: string, sealed = true): MuxStream =>
    session.openStream(clearRequest('GET', host, '/pushed'), { key: sealed ? session.key(1) : undefined });
  return { victims, key, session, push };
}

describe('H25: pushed streams', () => {
  test.each([
    ['for the other host, under the key of this one', BETA, true],
    ['for this host, under its key', ALPHA, true],
    ['for the other host, in the clear', BETA, false],
  ])('a client that expects none refuses one %s', async (_what, host, sealed) => {
    const { victims, key, push } = await pushing();
    const stream = push(host, sealed);
    await new Promise((resolve) => stream.once('close', resolve));
    expect(stream.errored).toMatchObject({ status: RST.REFUSED_STREAM, origin: 'remote' });
    expect(victims.client.session.streamCount).toBe(0);
    expect(await tell(victims.client.request({ host: ALPHA, path: '/', key }))).toMatchObject({
      status: 200,
    });
  });

  test('a client that takes them is told under which key one came, and for which host it says to be', async () => {
    const { victims, push } = await pushing();
    const came = once(victims.client.session, 'stream') as Promise<[MuxStream]>;
    push(BETA);
    const [stream] = await came;
    expect(stream.security.received.key?.authority).toBe(ALPHA);
    expect(new Map(stream.headers).get(':host')).toBe(BETA);
    stream.reset(RST.REFUSED_STREAM);
  });

  test('one that somebody on the way puts in is refused as well, and has no level', async () => {
    const { victims, key } = await pushing();
    victims.middle.wire.send('down', clearSyn(2, clearRequest('GET', ALPHA, '/forged'), { fin: true }));
    expect(await tell(victims.client.request({ host: ALPHA, path: '/', key }))).toMatchObject({
      status: 200,
    });
    expect(victims.middle.wire.sent('up', 'rst-stream')).toMatchObject([
      { frame: { streamId: 2, status: 3 } },
    ]);
  });
});
