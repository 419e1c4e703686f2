import { once } from 'node:events';
import type { AddressInfo } from 'node:net';
import { Readable } from 'node:stream';
import { text } from 'node:stream/consumers';
import { finished } from 'node:stream/promises';
import type { Client } from '@keymux/client';
import type { Keeper } from '@keymux/keys';
import { type Handler, type HostOptions, Origin, type RequestReport } from '@keymux/origin';
import { encodeRequest, type MuxSession, type MuxStream, NegotiationRejectedError } from '@keymux/streams';
import { afterEach, describe, expect, test, vi } from 'vitest';
import { bodyOf, connectClient, keeperOf } from '../support/library.ts';
import { Scope } from '../support/scope.ts';
import { makeKey } from '../support/tunnel.ts';

const scope = new Scope();
afterEach(() => scope.close());

const HOST = 'a.test';

/** An origin for a.test, and a client of it; both have its key if there is one. */
async function start(
  handler: Handler,
  options: { file?: string; host?: Partial<HostOptions>; onSession?: (session: MuxSession) => void } = {},
): Promise<{ origin: Origin; client: Client; label: string }> {
  const { file, onSession = () => undefined } = options;
  const keys = async (): Promise<{ keeper?: Keeper; labels: string[] }> =>
    file === undefined ? { labels: [] } : keeperOf({ file, authorities: [HOST] });
  const { keeper, labels } = await keys();
  const label = labels[0] ?? '';
  const host = { name: HOST, handler, promptLabel: label, ...options.host };
  const origin = new Origin({ hosts: [host], keeper });
  origin.on('session', onSession);
  const { port } = (await origin.listen({ host: '127.0.0.1', port: 0 })) as AddressInfo;
  scope.defer(() => origin.close());
  const client = await connectClient(scope, `127.0.0.1:${port}`, { keeper: (await keys()).keeper });
  return { origin, client, label };
}

/** A request whose body is still to be written. */
function post({ session }: Client, host = HOST): MuxStream {
  return session.openStream(encodeRequest({ method: 'POST', path: '/', host, scheme: 'http', headers: [] }));
}

describe('what an origin lets go of', () => {
  test('the body of an answer that nobody waits for any more', async () => {
    let go = (): void => undefined;
    const gate = new Promise<void>((resolve) => {
      go = resolve;
    });
    const body = Readable.from(['never sent']);
    const { client, origin } = await start(async (request) => {
      go();
      await finished(request.body).catch(() => undefined);
      return { status: 200, body };
    });
    const stream = post(client);
    await gate;
    stream.destroy();
    await finished(body).catch(() => undefined);
    expect(body.destroyed).toBe(true);
    await client.close();
    await origin.close();
  });

  test('the body of an answer with headers that cannot be sent', async () => {
    const body = Readable.from(['never sent']);
    const { client } = await start(() => ({ status: 200, headers: [['bad\n', 'x']], body }));
    expect((await client.request({ host: HOST, path: '/' })).status).toBe(500);
    expect(body.destroyed).toBe(true);
  });

  test.each([
    ['the handler does not read', HOST, 200],
    ['has no host to go to', 'other.test', 421],
  ])('a request body that %s, however long', async (_, host, status) => {
    const { client } = await start(() => ({ status: 200, body: 'no, thank you' }));
    const stream = post(client, host);
    stream.resume();
    stream.end(Buffer.alloc(2 ** 20)); // more than the window of a stream
    await finished(stream);
    expect(stream.replyHeaders?.[0]?.[1]).toMatch(new RegExp(`^${status} `));
  });

  test('the rest of a request body that the handler has begun to read', async () => {
    const { client } = await start(async ({ body }) => {
      await once(body, 'readable');
      return { status: 200 };
    });
    const stream = post(client);
    stream.resume();
    stream.end(Buffer.alloc(2 ** 20));
    await finished(stream);
  });

  test('a request body that is the answer is read to its end', async () => {
    const { client } = await start(({ body }) => ({ status: 200, body }));
    const stream = post(client);
    stream.end('there and back');
    expect(await text(stream)).toBe('there and back');
  });
});

describe('what an origin tells', () => {
  test('an answer that could not be read to its end', async () => {
    const body = new Readable({ read: () => undefined });
    const { client, origin } = await start(() => ({ status: 200, body }));
    const failed = once(origin, 'failure');
    const response = await client.request({ host: HOST, path: '/half' });
    body.push('half of it');
    await once(response.body, 'data');
    body.destroy(new Error('the disk is gone'));
    const [error, report] = (await failed) as [Error, RequestReport];
    expect([error.message, report.path]).toEqual(['the disk is gone', '/half']);
    await expect(finished(response.body)).rejects.toMatchObject({ code: 'ERR_KEYMUX_STREAM_RESET' });
  });

  test('a client that goes away is no failure', async () => {
    const body = new Readable({ read: () => undefined });
    const { client, origin } = await start(() => ({ status: 200, body }));
    const failures: Error[] = [];
    origin.on('failure', (error) => failures.push(error));
    const response = await client.request({ host: HOST, path: '/' });
    response.body.destroy();
    await finished(body).catch(() => undefined);
    expect(failures).toEqual([]);
  });
});

describe('keys in mid-stream', () => {
  test('a handler sees that the client has switched to a key', async () => {
    const file = await makeKey(scope);
    const levels: string[] = [];
    let begun = (): void => undefined;
    const gate = new Promise<void>((resolve) => {
      begun = resolve;
    });
    const { client, label } = await start(
      async (request) => {
        const note = (): number =>
          levels.push(`${request.security.received.level} ${request.security.receiving.level}`);
        note();
        begun();
        await text(request.body);
        note();
        return { status: 200 };
      },
      { file },
    );
    const key = await client.negotiate({ algorithm: 2, label, authority: HOST });
    const stream = post(client);
    stream.write('clear, ');
    await gate;
    stream.switchKey(key);
    stream.end('sealed');
    stream.resume();
    await finished(stream);
    expect(levels).toEqual(['none none', 'none authenticated']);
  });

  test('after a prompt that was rejected the next request prompts again', async () => {
    const file = await makeKey(scope);
    const busy = new NegotiationRejectedError(3, []);
    const { client } = await start(() => ({ status: 200, body: 'sealed' }), {
      file,
      host: { sealed: true },
      onSession: (session) => vi.spyOn(session, 'negotiate').mockRejectedValueOnce(busy),
    });
    expect((await client.request({ host: HOST, path: '/' })).status).toBe(426);
    const second = await client.request({ host: HOST, path: '/' });
    expect([second.status, await bodyOf(second)]).toEqual([200, 'sealed']);
  });
});
