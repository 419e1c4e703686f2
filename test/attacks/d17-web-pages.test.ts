import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import { Scope } from '../support/scope.ts';
import { tcpServer } from '../support/servers.ts';
import { type Bystander, expectUnharmed, regulars, Siege } from '../support/siege.ts';
import { Stranger, upgradeHead } from '../support/stranger.ts';
import { startTunnel } from '../support/tunnel.ts';

const HOST = 'alpha.test';
const LISTED = 'https://listed.example';

const shared = new Scope();
const scope = new Scope();
let siege: Siege;
let bystanders: Bystander[];
beforeAll(async () => {
  siege = await Siege.start(shared, ['origin', '--host', HOST, '--origin', LISTED]);
  bystanders = await regulars(shared, siege, HOST);
});
afterEach(() => scope.close());
afterAll(() => shared.close());

/** The first line of the answer, with what a page would see of the rest. */
async function answerTo(port: number, request: string): Promise<{ status: string; text: string }> {
  const stranger = await Stranger.connect(scope, port);
  stranger.send(request);
  await stranger.until('\r\n\r\n');
  return { status: stranger.text.slice(9, 12), text: stranger.text };
}

const PROTOCOLS = ['websocket', 'SPDY/3.1'];

/** What a browser sends for a page that is not listed, whatever names its own DNS gives to this machine. */
const FOREIGN = [
  ['a foreign site', ['Host: 127.0.0.1', 'Origin: https://evil.example']],
  [
    'a site whose name was rebound to this machine',
    ['Host: evil.example:6121', 'Origin: http://evil.example:6121'],
  ],
  ['this port itself, as if it had a page', ['Host: 127.0.0.1:6121', 'Origin: http://127.0.0.1:6121']],
  ['a sandboxed frame or a file', ['Host: 127.0.0.1', 'Origin: null']],
  ['a site with a listed name inside its own', ['Host: 127.0.0.1', `Origin: ${LISTED}.evil.example`]],
  ['a listed site over another scheme', ['Host: 127.0.0.1', 'Origin: http://listed.example']],
  ['a listed site and another', ['Host: 127.0.0.1', `Origin: ${LISTED}, https://evil.example`]],
  ['a visitor with cookies', ['Host: 127.0.0.1', 'Origin: https://evil.example', 'Cookie: session=1']],
] as const;

describe('D17: a web page that drives its visitor’s browser to a local port', () => {
  test.each(PROTOCOLS.flatMap((protocol) => FOREIGN.map(([what, lines]) => ({ protocol, what, lines }))))(
    'gets no $protocol as $what',
    async ({ protocol, lines }) => {
      const { status } = await answerTo(siege.port, upgradeHead(protocol, ...lines));
      expect(status).toBe('403');
      expect((await siege.vitals()).streams).toHaveLength(1);
    },
  );

  test('has its session if its site is listed', async () => {
    const head = upgradeHead('websocket', `Origin: ${LISTED}`, 'Sec-WebSocket-Protocol: spdy-3.1');
    expect((await answerTo(siege.port, head)).status).toBe('101');
  });

  test('learns nothing from other requests, and leaves nothing behind', async () => {
    const aftermath = await siege.during(bystanders, async () => {
      for (const method of ['GET', 'POST', 'OPTIONS', 'PUT']) {
        const request = `${method} / HTTP/1.1\r\nHost: evil.example\r\nOrigin: https://evil.example\r\nContent-Length: 0\r\n\r\n`;
        const { status, text } = await answerTo(siege.port, request);
        expect([method, status]).toEqual([method, '426']);
        expect(text.toLowerCase()).not.toContain('access-control');
      }
      await siege.until(({ streams }) => streams.length === 1);
    });
    expectUnharmed(aftermath, { growth: 32 * 2 ** 20 });
  });

  test('reaches nothing through the local HTTP proxy: a page cannot ask as a client of a proxy does', async () => {
    let reached = 0;
    const inside = await tcpServer(scope, () => reached++);
    const { connect } = await startTunnel(scope, { allow: ['127.0.0.1:*'] });
    for (const host of [`127.0.0.1:${inside}`, 'evil.example', `localhost:${inside}`]) {
      for (const method of ['GET', 'POST']) {
        const head = `${method} /x HTTP/1.1\r\nHost: ${host}\r\nOrigin: http://evil.example\r\nContent-Length: 0\r\n\r\n`;
        expect((await answerTo(connect.port, head)).status).toBe('400');
      }
      const upgrade = upgradeHead('websocket', `Host: ${host}`, 'Origin: http://evil.example');
      expect((await answerTo(connect.port, upgrade)).status).toBe('400');
    }
    expect(reached).toBe(0);
  });
});
