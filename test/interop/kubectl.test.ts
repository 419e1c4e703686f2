import { spawn } from 'node:child_process';
import { createHash, randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { createServer, type IncomingMessage } from 'node:http';
import { connect } from 'node:net';
import { createInterface } from 'node:readline';
import type { Duplex } from 'node:stream';
import { buffer } from 'node:stream/consumers';
import { finished } from 'node:stream/promises';
import { MuxSession, type MuxStream } from '@keymux/streams';
import { afterEach, describe, expect, test } from 'vitest';
import { createWebSocketStream, WebSocketServer } from 'ws';
import { run } from '../support/processes.ts';
import { Scope } from '../support/scope.ts';
import { listen } from '../support/servers.ts';

// Kubernetes' kubectl, as Debian's kubernetes-client has it or newer; the tests are skipped where it is missing.
const version = await run('kubectl', ['version', '--client', '-o', 'json']).catch(() => undefined);
const hasKubectl = version?.code === 0;
const minor = hasKubectl ? Number.parseInt(JSON.parse(version.stdout).clientVersion.minor, 10) : 0;

/** Its SPDY knows no windows. */
const CONFIG = { peerFlowControl: 'none' } as const;
const POD = {
  kind: 'Pod',
  apiVersion: 'v1',
  metadata: { name: 'pod', namespace: 'default' },
  spec: { containers: [{ name: 'main', ports: [{ containerPort: 80 }] }] },
  status: { phase: 'Running' },
};
const RESOURCES = {
  kind: 'APIResourceList',
  groupVersion: 'v1',
  resources: [{ name: 'pods', singularName: 'pod', namespaced: true, kind: 'Pod', verbs: ['get'] }],
};
const ANSWERS: Record<string, unknown> = {
  '/api': { kind: 'APIVersions', versions: ['v1'] },
  '/apis': { kind: 'APIGroupList', groups: [] },
  '/api/v1': RESOURCES,
  '/api/v1/namespaces/default/pods/pod': POD,
};

const scope = new Scope();
afterEach(() => scope.close());

/** What kubectl needs of an API server, with sessions of ours where it asks for SPDY/3.1. */
async function apiServer(serve: (session: MuxSession, asked: URL) => void): Promise<string[]> {
  const server = createServer((request, response) => {
    const answer = ANSWERS[new URL(request.url ?? '', 'http://a').pathname];
    response.writeHead(answer ? 200 : 404, { 'content-type': 'application/json' });
    response.end(JSON.stringify(answer ?? { kind: 'Status', status: 'Failure', code: 404 }));
  });
  const webSockets = new WebSocketServer({ noServer: true, perMessageDeflate: false });
  const tunnel = 'SPDY/3.1+portforward.k8s.io';
  webSockets.on('headers', (headers) => headers.push(`Sec-WebSocket-Protocol: ${tunnel}`));
  const start = (carrier: Duplex, url = ''): void => {
    const session = new MuxSession(carrier, { role: 'server', config: CONFIG });
    scope.defer(() => session.destroy());
    serve(session, new URL(url, 'http://a'));
  };
  server.on('upgrade', (request: IncomingMessage, socket: Duplex, head: Buffer) => {
    if (request.headers.upgrade === 'websocket') {
      if (request.headers['sec-websocket-protocol'] !== tunnel)
        return socket.end('HTTP/1.1 400 Bad Request\r\n\r\n');
      delete request.headers['sec-websocket-protocol']; // its "/" is not allowed in a token
      return webSockets.handleUpgrade(request, socket, head, (webSocket) =>
        start(createWebSocketStream(webSocket), request.url),
      );
    }
    const offered = [request.headers['x-stream-protocol-version'] ?? ''].flat()[0]?.split(',')[0];
    const heads = ['HTTP/1.1 101 Switching Protocols', 'Connection: Upgrade', 'Upgrade: SPDY/3.1'];
    socket.write(`${heads.join('\r\n')}\r\nX-Stream-Protocol-Version: ${offered}\r\n\r\n`);
    if (head.length > 0) socket.unshift(head);
    return start(socket, request.url);
  });
  const port = await listen(scope, server);
  const home = await scope.directory();
  return ['--server', `http://127.0.0.1:${port}`, '--cache-dir', home('cache'), '--kubeconfig', '/dev/null'];
}

const typeOf = (stream: MuxStream): string => Object.fromEntries(stream.headers).streamtype ?? '';

describe.skipIf(!hasKubectl)('kubectl and our sessions', () => {
  /** A container that says what it is sent, and ends with the status that its command names. */
  function container(session: MuxSession, asked: URL): void {
    const streams = new Map<string, MuxStream>();
    session.on('stream', (stream) => {
      stream.respond([]);
      streams.set(typeOf(stream), stream);
      const [stdin, stdout, error] = ['stdin', 'stdout', 'error'].map((name) => streams.get(name));
      if (!stdin || !stdout || !error || !streams.has('stderr')) return;
      stdin.pipe(stdout);
      finished(stdin, { writable: false }).then(() => {
        streams.get('stderr')?.end('that was all\n');
        const exit = asked.searchParams.getAll('command')[1] ?? '0';
        const details = { causes: [{ reason: 'ExitCode', message: exit }] };
        const failure = { status: 'Failure', reason: 'NonZeroExitCode', details };
        error.end(JSON.stringify(exit === '0' ? { status: 'Success' } : failure));
      });
    });
  }

  test('exec: standard input, output and error, and the exit status', async () => {
    const server = await apiServer(container);
    const env = { ...process.env, KUBECTL_REMOTE_COMMAND_WEBSOCKETS: 'false' };
    const input = randomBytes(2 ** 20).toString('base64');
    const ran = await run('kubectl', [...server, 'exec', '-i', 'pod', '--', 'cat'], { env, input });
    expect(ran).toEqual({ code: 0, stdout: input, stderr: 'that was all\n' });
    const failed = await run('kubectl', [...server, 'exec', '-i', 'pod', '--', 'exit', '3'], {
      env,
      input: '',
    });
    expect(failed).toMatchObject({ code: 3, stdout: '' });
  });

  // Before 1.30 it knows HTTP Upgrade alone.
  test.each(minor < 30 ? ['HTTP Upgrade'] : ['HTTP Upgrade', 'a WebSocket'])(
    'port-forward over %s',
    async (carrier) => {
      const server = await apiServer((session) =>
        session.on('stream', (stream) => {
          stream.respond([]);
          if (typeOf(stream) === 'data') stream.pipe(stream);
          else stream.end();
        }),
      );
      const env = { ...process.env, KUBECTL_PORT_FORWARD_WEBSOCKETS: String(carrier === 'a WebSocket') };
      const child = spawn('kubectl', [...server, 'port-forward', 'pod', '0:80'], {
        env,
        stdio: ['ignore', 'pipe', 'ignore'], // it complains of the end of the test
      });
      scope.defer(async () => {
        const exit = once(child, 'exit');
        child.kill();
        await exit;
      });
      const [line] = await once(createInterface({ input: child.stdout }), 'line');
      const port = Number(/127\.0\.0\.1:(\d+)/.exec(String(line))?.[1]);
      const echoes = Array.from({ length: 20 }, async (_, index) => {
        const body = randomBytes(200_000 + index);
        const socket = connect({ port, host: '127.0.0.1', allowHalfOpen: true });
        socket.end(body);
        return hash(await buffer(socket)) === hash(body);
      });
      expect(await Promise.all(echoes)).toEqual(echoes.map(() => true));
    },
  );
});

const hash = (bytes: Buffer): string => createHash('sha256').update(bytes).digest('hex');
