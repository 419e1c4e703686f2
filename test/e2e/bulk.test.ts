import { once } from 'node:events';
import { text } from 'node:stream/consumers';
import { pipeline } from 'node:stream/promises';
import { afterEach, describe, expect, test } from 'vitest';
import { curlMissing, startCurl } from '../support/curl.ts';
import { connectionsTo } from '../support/kernel.ts';
import { hashOf, payload, payloadHash } from '../support/payload.ts';
import { Scope } from '../support/scope.ts';
import { httpServer } from '../support/servers.ts';
import { startTunnel } from '../support/tunnel.ts';

const GIB = 2 ** 30;
const TIMEOUT = { timeout: 120_000 };
const scope = new Scope();
afterEach(() => scope.close());

describe.skipIf(curlMissing)('one GiB through curl, connect and proxy', () => {
  const expected = payloadHash(GIB);

  test('a download arrives as it was sent', TIMEOUT, async () => {
    const port = await httpServer(scope, (_request, response) => {
      pipeline(payload(GIB), response).catch(() => undefined);
    });
    const { url, proxy } = await startTunnel(scope, { allow: ['127.0.0.1:*'] });
    const curl = startCurl(['-x', url, `http://127.0.0.1:${port}/`]);
    const closed = once(curl, 'close');
    expect(await hashOf(curl.stdout)).toEqual({ sha256: expected, bytes: GIB });
    expect(await closed).toEqual([0, null]);
    expect(await connectionsTo(proxy.port)).toBe(1);
  });

  test('an upload arrives as it was sent', TIMEOUT, async () => {
    const port = await httpServer(scope, async (request, response) => {
      response.end(JSON.stringify(await hashOf(request)));
    });
    const { url, proxy } = await startTunnel(scope, { allow: ['127.0.0.1:*'] });
    const curl = startCurl(['-x', url, '-T', '-', `http://127.0.0.1:${port}/`]);
    const answer = text(curl.stdout);
    const closed = once(curl, 'close');
    await pipeline(payload(GIB), curl.stdin);
    expect(JSON.parse(await answer)).toEqual({ sha256: expected, bytes: GIB });
    expect(await closed).toEqual([0, null]);
    expect(await connectionsTo(proxy.port)).toBe(1);
  });
});
