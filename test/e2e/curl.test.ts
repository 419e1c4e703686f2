import { once } from 'node:events';
import type { ServerResponse } from 'node:http';
import { text } from 'node:stream/consumers';
import { afterEach, describe, expect, test } from 'vitest';
import { curl, curlMissing, startCurl } from '../support/curl.ts';
import { connectionsTo } from '../support/kernel.ts';
import { KeymuxProcess } from '../support/processes.ts';
import { Scope } from '../support/scope.ts';
import { closedPort, httpServer, httpsServer, silentPort } from '../support/servers.ts';
import { startTunnel } from '../support/tunnel.ts';

const scope = new Scope();
afterEach(() => scope.close());

const LOOPBACK = { allow: ['127.0.0.1:*'] };

describe.skipIf(curlMissing)('curl through keymux connect and keymux proxy', () => {
  test('http:// reaches an ordinary server, with method, path, headers and body as sent', async () => {
    const port = await httpServer(scope, async (request, response) => {
      response.setHeader('x-answer', 'yes');
      const { method, url, headers } = request;
      response.end(
        JSON.stringify({ method, url, host: headers.host, x: headers['x-test'], body: await text(request) }),
      );
    });
    const { url } = await startTunnel(scope, LOOPBACK);
    const target = `http://127.0.0.1:${port}/a/path?with=query`;
    const { stdout, code } = await curl(['-i', '-x', url, '-H', 'X-Test: 1', '-d', 'a body', target]);
    expect(code).toBe(0);
    expect(stdout).toMatch(/^HTTP\/1\.1 200 OK\r\n/);
    expect(stdout).toMatch(/\r\nx-answer: yes\r\n/i);
    expect(JSON.parse(stdout.slice(stdout.indexOf('{')))).toEqual({
      ...{ method: 'POST', url: '/a/path?with=query', host: `127.0.0.1:${port}`, x: '1', body: 'a body' },
    });
  });

  test('https:// goes by CONNECT, and TLS is between curl and the server', async () => {
    const { port, ca } = await httpsServer(scope, (_request, response) => response.end('over TLS'));
    const { url, proxy } = await startTunnel(scope, { allow: [`localhost:${port}`] });
    const answer = await curl(['-x', url, '--cacert', ca, `https://localhost:${port}/`]);
    expect(answer).toMatchObject({ code: 0, stdout: 'over TLS' });
    expect(await proxy.atLeast(1, 'connect')).toMatchObject([
      { destination: `localhost:${port}`, status: 200, level: 'authenticated', payloadOutside: false },
    ]);
    // Without the certificate curl must refuse: nobody in between speaks TLS for the server.
    expect(await curl(['-x', url, `https://localhost:${port}/`])).toMatchObject({ code: 60, stdout: '' });
  });

  test('a destination that protects itself is not sealed a second time, when --once says so', async () => {
    const { port, ca } = await httpsServer(scope, (_request, response) => response.end('over TLS'));
    const { url, proxy } = await startTunnel(scope, {
      allow: [`localhost:${port}`],
      connectArgs: ['--once', `localhost:${port}`],
    });
    const answer = await curl(['-x', url, '--cacert', ca, `https://localhost:${port}/`]);
    expect(answer).toMatchObject({ code: 0, stdout: 'over TLS' });
    expect(await proxy.atLeast(1, 'connect')).toMatchObject([
      { level: 'authenticated', payloadOutside: true },
    ]);
  });

  test('200 requests at a time share one TCP connection to the proxy', async () => {
    const waiting: ServerResponse[] = [];
    let connections: Promise<number> | undefined;
    const { url, proxy } = await startTunnel(scope, LOOPBACK);
    // The server answers nobody before everybody is here.
    const port = await httpServer(scope, (request, response) => {
      waiting.push(response);
      response.setHeader('x-path', request.url ?? '');
      if (waiting.length < 200) return;
      connections = connectionsTo(proxy.port);
      for (const each of waiting) each.end(`${each.getHeader('x-path')}\n`);
    });
    const paths = Array.from({ length: 200 }, (_, index) => `/${index}`);
    const urls = paths.map((path) => `http://127.0.0.1:${port}${path}`);
    const { stdout, code } = await curl([
      ...['-x', url, '--parallel', '--parallel-immediate', '--parallel-max', '200'],
      ...urls,
    ]);
    expect(code).toBe(0);
    expect(new Set(stdout.trim().split('\n'))).toEqual(new Set(paths));
    expect(await connections).toBe(1);
    expect(proxy.all('session')).toHaveLength(1);
    expect(await proxy.atLeast(200, 'connect')).toHaveLength(200);
  });

  test('refusals: 403 not allowed, 502 unreachable, 504 no answer', async () => {
    const refused = await closedPort();
    const silent = await silentPort(scope);
    const { url, proxy } = await startTunnel(scope, {
      allow: [`127.0.0.1:${refused}`, `127.0.0.1:${silent}`],
      proxyArgs: ['--connect-timeout', '300'],
    });
    const statusOf = async (target: string): Promise<string> => {
      const { stdout } = await curl(['-x', url, '-o', '/dev/null', '-w', '%{http_code}', target]);
      return stdout;
    };
    const connectStatusOf = async (target: string): Promise<string> => {
      const { stdout, code } = await curl(['-x', url, '-w', '%{http_connect}', target]);
      expect(code).toBe(56); // curl: the proxy refused CONNECT
      return stdout;
    };
    for (const [port, status] of [
      [1, '403'],
      [refused, '502'],
      [silent, '504'],
    ]) {
      expect(await statusOf(`http://127.0.0.1:${port}/`)).toBe(status);
      expect(await connectStatusOf(`https://127.0.0.1:${port}/`)).toBe(status);
    }
    const statuses = (await proxy.atLeast(6, 'connect')).map(({ status }) => status);
    expect(statuses).toEqual([403, 403, 502, 502, 504, 504]);
    expect(proxy.all('session')).toHaveLength(1); // refusals cost no session
  });

  test('what is no proxy request is refused with 400', async () => {
    const { connect } = await startTunnel(scope, LOOPBACK);
    const { stdout } = await curl(['-w', '%{http_code}', `http://${connect.address}/`]);
    expect(stdout).toMatch(/^keymux: .*absolute.*\n400$/s);
  });

  test('a proxy that was restarted is connected to again', async () => {
    const port = await httpServer(scope, (_request, response) => response.end('here'));
    const { url, proxy, connect, key } = await startTunnel(scope, LOOPBACK);
    const get = (): Promise<unknown> => curl(['-x', url, `http://127.0.0.1:${port}/`]);
    expect(await get()).toMatchObject({ code: 0, stdout: 'here' });
    proxy.kill('SIGKILL');
    await connect.next('disconnected');
    await proxy.exited;
    const again = ['--allow', '127.0.0.1:*', '--listen', proxy.address];
    const second = await KeymuxProcess.start(scope, ['proxy', '--key', key, ...again]);
    expect(await get()).toMatchObject({ code: 0, stdout: 'here' });
    expect(await connect.atLeast(2, 'connected')).toHaveLength(2);
    expect(await second.atLeast(1, 'session')).toHaveLength(1);
  });

  test.each(['proxy', 'connect'] as const)('SIGTERM lets %s finish an open download', async (which) => {
    let finish = (): void => undefined;
    const port = await httpServer(scope, (_request, response) => {
      response.write('first half, ');
      finish = () => response.end('second half');
    });
    const tunnel = await startTunnel(scope, LOOPBACK);
    const download = startCurl(['-N', '-x', tunnel.url, `http://127.0.0.1:${port}/`]);
    const closed = once(download, 'close');
    const [first] = (await once(download.stdout, 'data')) as [Buffer];
    const rest = text(download.stdout);
    tunnel[which].kill('SIGTERM');
    await tunnel[which].next('draining');
    finish();
    expect(String(first) + (await rest)).toBe('first half, second half');
    expect(await closed).toEqual([0, null]);
    expect(await tunnel[which].exited).toBe(0);
  });
});
