import { text } from 'node:stream/consumers';
import { Client } from '@keymux/client';
import { createServer } from 'spdy';
import { afterEach, expect, test } from 'vitest';
import { hashOf, payload, payloadHash } from '../support/payload.ts';
import { Scope } from '../support/scope.ts';
import { listen } from '../support/servers.ts';

const BULK = 3 * 2 ** 20 + 99;

const scope = new Scope();
afterEach(() => scope.close());

/** Our client, and the HTTP server of npm's spdy. It says what it got only when the request has ended: it cannot do both at once. */
async function start(): Promise<Client> {
  const spdy = { plain: true, ssl: false, connection: { autoSpdy31: true } } as const;
  const server = createServer({ spdy }, async (request, response) => {
    response.setHeader('x-path', request.url ?? '');
    response.setHeader('x-host', request.headers.host ?? '');
    const got = await hashOf(request);
    if (request.url === '/bulk') payload(BULK).pipe(response);
    else response.end(`${got.bytes} ${got.sha256}`);
  });
  const client = await Client.connect(`127.0.0.1:${await listen(scope, server)}`);
  scope.defer(() => client.session.destroy());
  return client;
}

test('a GET is answered, with a body of several windows', async () => {
  const client = await start();
  const response = await client.request({ host: 'a.example', path: '/bulk' });
  expect(response.status).toBe(200);
  expect(Object.fromEntries(response.headers)).toMatchObject({ 'x-path': '/bulk', 'x-host': 'a.example' });
  expect(await hashOf(response.body)).toEqual({ sha256: payloadHash(BULK), bytes: BULK });
});

test('a body of several windows is taken', async () => {
  const client = await start();
  const request = { host: 'a.example', path: '/', method: 'POST', body: payload(BULK) };
  const response = await client.request(request);
  expect(await text(response.body)).toBe(`${BULK} ${payloadHash(BULK)}`);
});

test('100 requests at a time are kept apart', async () => {
  const client = await start();
  const sizes = Array.from({ length: 100 }, (_, index) => 20_000 + 100 * index);
  const answers = sizes.map(async (bytes) => {
    const request = { host: 'a.example', path: `/${bytes}`, method: 'POST', body: payload(bytes) };
    return text((await client.request(request)).body);
  });
  expect(await Promise.all(answers)).toEqual(sizes.map((bytes) => `${bytes} ${payloadHash(bytes)}`));
});
