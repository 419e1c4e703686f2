import { once } from 'node:events';
import type { Client, Response } from '@keymux/client';
import { ALGORITHM, type KeyInfo } from '@keymux/keys';
import { decodeResponse, encodeRequest, type MuxSession } from '@keymux/streams';
import { afterEach, describe, expect, test } from 'vitest';
import { GAMMA, setDoor } from '../support/front-door.ts';
import { bodyOf } from '../support/library.ts';
import { hashOf, payload, payloadHash } from '../support/payload.ts';
import { Scope } from '../support/scope.ts';
import { ALPHA, BETA, failureOf, tell } from '../support/victims.ts';

const scope = new Scope();
afterEach(() => scope.close());

const MiB = 1024 * 1024;
const ask = (client: Client, host: string, key: KeyInfo, path = '/'): Promise<Response> =>
  client.request({ host, path, key });

describe('two hosts behind a front', () => {
  test('answer over one connection, each under its own key, and neither gets the other’s requests', async () => {
    const { client, key, alpha, beta, wire, log } = await setDoor(scope);
    const keys = [await key(ALPHA), await key(BETA)] as const;
    expect(await tell(ask(client, ALPHA, keys[0], '/a'))).toMatchObject({
      status: 200,
      level: 'authenticated',
      body: expect.stringMatching(/^alpha\.test 0 /),
    });
    expect((await tell(ask(client, BETA, keys[1], '/b'))).body).toMatch(/^beta\.test 0 /);
    expect(alpha.requests).toEqual(['GET /a', 'from 127.0.0.1']);
    expect(beta.requests).toEqual(['GET /b', 'from 127.0.0.1']);
    expect(wire.wires).toHaveLength(1);
    expect(log).toEqual([`run ${ALPHA}`, `run ${BETA}`]);
    expect(client.session.fronted).toBe(true);
  });

  test('carry 8 MiB each, up and down at once, and no byte is lost', async () => {
    const { client, key } = await setDoor(scope);
    const size = 4 * MiB;
    const both = [ALPHA, BETA].map(async (host) => {
      const hostKey = await key(host);
      const up = client.request({ host, path: '/', method: 'POST', body: payload(size), key: hostKey });
      const down = await ask(client, host, hostKey, `/bulk/${size}`);
      expect(await hashOf(down.body)).toEqual({ sha256: payloadHash(size), bytes: size });
      expect((await tell(up)).body).toBe(`${host} ${size} ${payloadHash(size)}`);
    });
    await Promise.all(both);
  });

  test.each([ALGORITHM.PSK, ALGORITHM.SPIPED, ALGORITHM.HYBRID])(
    'negotiate by ALG %i too',
    async (algorithm) => {
      const { client, key } = await setDoor(scope);
      expect((await tell(ask(client, BETA, await key(BETA, { algorithm })))).status).toBe(200);
    },
  );

  test('take early data', async () => {
    const { client, keys } = await setDoor(scope);
    const label = keys.of(ALPHA);
    const early = await client.negotiate({
      algorithm: ALGORITHM.PSK,
      label,
      authority: ALPHA,
      early: true,
    });
    expect(early.early).toBe(true);
    expect((await tell(ask(client, ALPHA, early))).status).toBe(200);
    // Early bytes are counted in the window of the key: it must still carry more than one window.
    const big = await ask(client, ALPHA, client.session.key(early.keyId) as KeyInfo, `/bulk/${8 * MiB}`);
    expect((await hashOf(big.body)).bytes).toBe(8 * MiB);
  });

  test('REJECT comes through, and the next algorithm is tried under the next ID', async () => {
    const { client, keys } = await setDoor(scope, { algorithms: [ALGORITHM.HYBRID] });
    const algorithm = [ALGORITHM.PSK_X25519, ALGORITHM.HYBRID];
    const key = await client.negotiate({ algorithm, label: keys.of(ALPHA), authority: ALPHA });
    expect(key).toMatchObject({ keyId: 3, algorithm: ALGORITHM.HYBRID });
    expect((await tell(ask(client, ALPHA, key))).status).toBe(200);
  });

  test('keys are renegotiated while bulk goes both ways, by the client and by the host', async () => {
    const { client, key, alpha } = await setDoor(scope);
    const a = await key(ALPHA);
    const size = 4 * MiB;
    const up = client.request({ host: ALPHA, path: '/', method: 'POST', body: payload(size), key: a });
    const down = await ask(client, ALPHA, a, `/bulk/${size}`);
    const [host] = alpha.sessions as [MuxSession];
    expect((await host.renegotiate(host.key(a.keyId) as KeyInfo)).generation).toBe(1);
    // Either a generation of its own, or that of the host, if that has not arrived.
    expect((await client.session.renegotiate(a)).generation).toBeGreaterThan(0);
    expect(await hashOf(down.body)).toEqual({ sha256: payloadHash(size), bytes: size });
    expect((await tell(up)).body).toBe(`${ALPHA} ${size} ${payloadHash(size)}`);
  });

  test('a key can replace another of the same host', async () => {
    const { client, key, alpha } = await setDoor(scope);
    const [first, second] = [await key(ALPHA), await key(ALPHA)];
    const stream = client.session.openStream(
      [
        [':method', 'POST'],
        [':path', '/'],
        [':host', ALPHA],
        [':scheme', 'http'],
        [':version', 'HTTP/1.1'],
      ],
      { key: first },
    );
    stream.write('one ');
    stream.switchKey(second);
    stream.end('two');
    const { bytes } = await hashOf(stream);
    expect(bytes).toBeGreaterThan(0);
    expect(alpha.link.wires).toHaveLength(1); // one link for both keys
  });
});

describe('what a front refuses', () => {
  test('a stream under the key of one host that names the other: 421, from the host itself', async () => {
    const { client, key, alpha, beta } = await setDoor(scope);
    const [a, b] = [await key(ALPHA), await key(BETA)];
    expect(await statusOf(client, BETA, a)).toBe(421);
    expect(await statusOf(client, ALPHA, b)).toBe(421);
    expect([alpha.requests, beta.requests].flat().filter((entry) => !entry.startsWith('from'))).toEqual([]);
  });

  test('a host that is not served, a key for the front itself, and a wrong key, all alike; other keys live on', async () => {
    const { client, key, keys, log, wire } = await setDoor(scope);
    const b = await key(BETA);
    const refusals = [
      await failureOf(key(GAMMA, { label: keys.of(ALPHA) })),
      await failureOf(key('', { label: keys.of(ALPHA) })),
      await failureOf(key(ALPHA, { label: keys.of(BETA) })),
    ];
    for (const refusal of refusals)
      expect(refusal).toMatchObject({ code: 'ERR_KEYMUX_KEY_FAILURE', scope: 'key', status: 0x4b01 });
    const gone = wire.wire.sent('down', 'key-gone').map(({ bytes }) => bytes.toString('hex'));
    expect(gone).toEqual([3, 5, 7].map((id) => `80030047000000080${id}00000000004b01`));
    expect(log).toEqual([
      `run ${BETA}`,
      `run ${GAMMA} refused`,
      'run  refused',
      `run ${ALPHA}`,
      `gone ${ALPHA} 19201`,
    ]);
    expect((await tell(ask(client, BETA, b))).status).toBe(200);
  });

  test('what is in the clear, with and without a body: 421, and the hosts never hear of it', async () => {
    const { client, alpha, key } = await setDoor(scope);
    expect((await client.request({ host: ALPHA, path: '/' })).status).toBe(421);
    const body = 'x'.repeat(50_000);
    const post = client.request({ host: ALPHA, path: '/', method: 'POST', body });
    expect((await post).status).toBe(421);
    expect(alpha.requests).toEqual([]);
    expect((await tell(ask(client, ALPHA, await key(ALPHA)))).status).toBe(200);
  });

  test('payload outside envelopes: nobody could tell whose it is', async () => {
    const { client, key } = await setDoor(scope);
    const a = await key(ALPHA);
    const head = [[':method', 'CONNECT']] as const;
    expect(() => client.session.openStream(head, { key: a, payloadOutside: true })).toThrow(/front/);
  });

  test('a run or a stream that a host would begin', async () => {
    const { client, key, alpha, keys } = await setDoor(scope);
    await tell(ask(client, ALPHA, await key(ALPHA)));
    const [session] = alpha.sessions;
    const label = keys.of(ALPHA);
    const run = session?.negotiate({ algorithm: ALGORITHM.PSK_X25519, label, authority: ALPHA });
    await expect(run).rejects.toMatchObject({ code: 'ERR_KEYMUX_FRONT' });
    expect(() => session?.openStream([['a', 'b']], { key: session.key(1) })).toThrow(/behind a front/);
  });
});

describe('when a host', () => {
  test('dies, its streams end with an error, the other’s go on, and a new key finds it when it is back', async () => {
    const { client, key, alpha, log } = await setDoor(scope);
    const [a, b] = [await key(ALPHA), await key(BETA)];
    const waiting = ask(client, ALPHA, a, '/never');
    const bulk = await ask(client, BETA, b, `/bulk/${4 * MiB}`);
    const gone = once(client.session, 'keyGone');
    for (const { carrier } of alpha.sessions) carrier.destroy();
    const error = await failureOf(waiting);
    expect(error).toMatchObject({ code: 'ERR_KEYMUX_STREAM_RESET' });
    expect(error?.cause).toMatchObject({ code: 'ERR_KEYMUX_HOST_GONE' });
    expect((await gone)[0]).toBe(a.keyId);
    expect(await hashOf(bulk.body)).toEqual({ sha256: payloadHash(4 * MiB), bytes: 4 * MiB });
    expect(client.session.key(a.keyId)).toBeUndefined();
    expect(() => client.session.openStream([['a', 'b']], { key: a })).toThrow(/not established/);
    expect(log).toContain(`gone ${ALPHA} 2`);

    const again = await key(ALPHA);
    expect(again.keyId).toBeGreaterThan(b.keyId);
    expect((await tell(ask(client, ALPHA, again))).status).toBe(200);
  });

  test('is not there, that is told at once, and the other one answers', async () => {
    const { client, key, alpha } = await setDoor(scope);
    await alpha.origin.close();
    expect(await failureOf(key(ALPHA))).toMatchObject({ code: 'ERR_KEYMUX_HOST_GONE', scope: 'key' });
    expect((await tell(ask(client, BETA, await key(BETA)))).status).toBe(200);
  });

  test('shuts down, open streams end properly, new ones are refused, and the key ends as agreed', async () => {
    const { client, key, alpha, log } = await setDoor(scope);
    const [a, b] = [await key(ALPHA), await key(BETA)];
    const bulk = await ask(client, ALPHA, a, `/bulk/${4 * MiB}`);
    const closed = alpha.origin.close();
    await expect
      .poll(() => failing(() => client.session.openStream([['a', 'b']], { key: a })))
      .toMatch(/host/);
    const gone = once(client.session, 'keyGone');
    expect((await hashOf(bulk.body)).bytes).toBe(4 * MiB);
    await closed;
    expect((await gone)[1]).toMatchObject({ code: 'ERR_KEYMUX_GOING_AWAY', status: 0 });
    expect((await tell(ask(client, BETA, b))).status).toBe(200);
    expect(log).toContain(`gone ${ALPHA} 0`);
  });

  test('does not read, it stops nobody else, and does not fill the front', async () => {
    const { client, key, alpha } = await setDoor(scope, { front: { keyWindow: 256 * 1024 } });
    const [a, b] = [await key(ALPHA), await key(BETA)];
    for (const { carrier } of alpha.sessions) carrier.on('data', () => carrier.pause()).pause();
    const stuck = client.request({ host: ALPHA, path: '/', method: 'POST', body: payload(8 * MiB), key: a });
    stuck.catch(() => undefined);
    const bulk = await ask(client, BETA, b, `/bulk/${4 * MiB}`);
    expect((await hashOf(bulk.body)).bytes).toBe(4 * MiB);
    const held = alpha.link.wire.seen.reduce((sum, { bytes }) => sum + bytes.length, 0);
    expect(held).toBeLessThan(512 * 1024);
  });
});

describe('the front', () => {
  test('shuts down: clients end what they have, and are then closed', async () => {
    const { client, key, front } = await setDoor(scope);
    const bulk = await ask(client, ALPHA, await key(ALPHA), `/bulk/${4 * MiB}`);
    const closed = front.close();
    await once(client.session, 'goaway');
    expect(() => client.session.openStream([['a', 'b']])).toThrow(/no new streams/);
    expect((await hashOf(bulk.body)).bytes).toBe(4 * MiB);
    await closed;
    expect(await client.session.closed).toBeUndefined();
  });

  test('ends the links of a client that is gone', async () => {
    const { client, key, alpha, log } = await setDoor(scope);
    const waiting = failureOf(ask(client, ALPHA, await key(ALPHA), '/never'));
    await expect.poll(() => alpha.requests.length).toBe(1);
    client.session.carrier.destroy();
    expect(await waiting).toBeDefined();
    await alpha.sessions[0]?.closed;
    expect(alpha.sessions[0]?.streamCount).toBe(0);
    expect(log.at(-1)).toMatch(/^end/);
  });

  test('ends orderly with a client that closes', async () => {
    const { client, key, log, alpha } = await setDoor(scope);
    expect(await bodyOf(await ask(client, ALPHA, await key(ALPHA)))).toMatch(/^alpha/);
    await client.close();
    await expect.poll(() => log).toEqual([`run ${ALPHA}`, 'end']);
    expect(await alpha.sessions[0]?.closed).toBeUndefined();
  });
});

/** What a client is answered that does not look whose key it asks under. */
async function statusOf(client: Client, host: string, key: KeyInfo): Promise<number> {
  const head = encodeRequest({ method: 'GET', path: '/', host, scheme: 'http', headers: [] });
  const stream = client.session.openStream(head, { key, fin: true });
  await once(stream, 'reply');
  stream.resume();
  return decodeResponse(stream.replyHeaders ?? []).status;
}

function failing(action: () => unknown): string {
  try {
    action();
    return 'it did not fail';
  } catch (error) {
    return (error as Error).message;
  }
}
