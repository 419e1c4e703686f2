import { once } from 'node:events';
import type { AddressInfo } from 'node:net';
import { Readable } from 'node:stream';
import { text } from 'node:stream/consumers';
import { Client } from '@keymux/client';
import { ALGORITHM, formatKeyLogEntry, Keyring, LocalKeeper, PreSharedKey, parseKeyLog } from '@keymux/keys';
import { ConnectProxy } from '@keymux/proxy';
import { type MuxSession, SessionServer } from '@keymux/streams';
import { type CapturedRecord, readCapture, type TraceOptions, traceCapture } from '@keymux/trace';
import { afterEach, describe, expect, test } from 'vitest';
import { pcapOf } from '../support/pcap.ts';
import { Scope } from '../support/scope.ts';
import { type Capture, Wiretap } from '../support/wiretap.ts';

const scope = new Scope();
afterEach(() => scope.close());

const NAMES = ['a.test', 'b.test'] as const;

function keys(): { keeper: LocalKeeper; labels: string[] } {
  const keyring = new Keyring();
  const labels = NAMES.map((name) =>
    keyring.add(new PreSharedKey(Buffer.alloc(32, name)), { authorities: [name] }),
  );
  return { keeper: new LocalKeeper({ keyring }), labels };
}

/** A server that echoes; `over` settles when its first session is. */
async function serve(): Promise<{ port: number; over: Promise<unknown> }> {
  const server = new SessionServer({ keeper: keys().keeper });
  server.on('session', (session) =>
    session.on('stream', (stream) => {
      stream.respond([[':status', '200']]);
      stream.pipe(stream);
    }),
  );
  const { port } = (await server.listen({ host: '127.0.0.1', port: 0 })) as AddressInfo;
  scope.defer(async () => {
    for (const session of server.sessions) session.destroy();
    await server.close();
  });
  const over = once(server, 'session').then(([session]) => (session as MuxSession).closed);
  return { port, over };
}

/** A clear stream, and one under the key of each host; what a key log of the first one has of it. */
async function talk(client: Client, labels: readonly string[]): Promise<void> {
  const echo = async (what: string, path: string, key?: Awaited<ReturnType<Client['negotiate']>>) => {
    const head = [[':method', 'POST'] as const, [':path', path] as const];
    const stream = client.session.openStream(head, { key });
    stream.end(what);
    expect(await text(stream)).toBe(what);
  };
  await echo('CLEAR-BODY', '/CLEAR-PATH');
  for (const [index, authority] of NAMES.entries()) {
    const label = labels[index] as string;
    const key = await client.negotiate({ algorithm: ALGORITHM.PSK_X25519, label, authority });
    await echo(`SEALED-BODY-${authority}`, `/SEALED-PATH-${authority}`, key);
  }
  await client.close();
}

/** What each side says, one after the other. */
const said = (up: Buffer = Buffer.alloc(0), down: Buffer = Buffer.alloc(0)): Pick<Capture, 'sequence'> => ({
  sequence: [
    { direction: 'up', bytes: up },
    { direction: 'down', bytes: down },
  ],
});

async function trace(
  capture: Pick<Capture, 'sequence'>,
  options: TraceOptions = {},
): Promise<CapturedRecord[]> {
  const records: CapturedRecord[] = [];
  for await (const record of traceCapture(readCapture(Readable.from([pcapOf(capture)])), options))
    records.push(record);
  return records;
}

const types = (records: readonly CapturedRecord[]): string[] =>
  records.filter(({ type }) => type !== 'WINDOW_UPDATE').map(({ from, type }) => `${from} ${type}`);

/** Everything that the records say, payload included. */
const words = (records: readonly CapturedRecord[]): string =>
  JSON.stringify(
    records.map(({ payload, ...rest }) => ({ ...rest, text: payload && String(Buffer.from(payload)) })),
  );

describe.each([
  ['TCP', (address: string) => address],
  ['a WebSocket', (address: string) => `ws://${address}/`],
  ["HTTP's Upgrade", (address: string) => `http://${address}/`],
])('a session over %s', (_name, addressOf) => {
  async function captured(log: string[] = []): Promise<Capture> {
    const { port, over } = await serve();
    const tap = await Wiretap.start(scope, port);
    const { keeper, labels } = keys();
    const client = await Client.connect(addressOf(tap.address), {
      keeper,
      keyLog: ({ authority }, entry) => authority === 'a.test' && log.push(formatKeyLogEntry(entry())),
    });
    await talk(client, labels);
    await over;
    return tap.only;
  }

  test('is shown frame by frame, with what everybody can read and nothing else', async () => {
    const records = await trace(await captured(), { payload: true });
    expect(types(records.filter(({ from }) => from === 'client'))).toEqual([
      ...['client SETTINGS', 'client SYN_STREAM', 'client DATA', 'client DATA'],
      ...['client KEY_NEGO', 'client SEALED', 'client SEALED'],
      ...['client KEY_NEGO', 'client SEALED', 'client SEALED', 'client GOAWAY'],
    ]);
    expect(records.find(({ type }) => type === 'SYN_STREAM')).toMatchObject({
      ...{ connection: 1, from: 'client', stream: 1, fields: { priority: 3, slot: 0 } },
      headers: [
        [':method', 'POST'],
        [':path', '/CLEAR-PATH'],
      ],
    });
    const negotiations = records.filter(({ nego }) => nego !== undefined);
    expect(negotiations.map(({ from, nego }) => [from, nego?.kind, nego?.authority])).toEqual(
      expect.arrayContaining([
        ['client', 'first', 'a.test'],
        ['client', 'first', 'b.test'],
        ['server', 'next', undefined],
      ]),
    );
    expect(records.filter(({ type }) => type === 'ERROR')).toEqual([]);
    expect(words(records)).toContain('CLEAR-BODY');
    expect(words(records)).not.toContain('SEALED-');
  });

  test('is opened by a key log where it travelled under that key, and nowhere else', async () => {
    const log: string[] = [];
    const capture = await captured(log);
    expect(log).toHaveLength(2);
    const keyLog = parseKeyLog(log.join('\n'));
    const records = await trace(capture, { keyLog, payload: true });
    expect(words(records)).toContain('SEALED-BODY-a.test');
    expect(words(records)).toContain('SEALED-PATH-a.test');
    expect(words(records)).not.toContain('SEALED-BODY-b.test');
    const opened = records.filter(({ type, fields }) => type === 'SEALED' && fields?.opened);
    expect(new Set(opened.map(({ fields }) => fields?.keyId))).toEqual(new Set([1]));
    expect(new Set(opened.map(({ from }) => from))).toEqual(new Set(['client', 'server']));
    const inside = records.filter(({ under }) => under !== undefined);
    expect(inside[0]).toMatchObject({ type: 'SYN_STREAM', under: { keyId: 1, generation: 0 } });
    // A log of another session has keys with the same IDs, and opens nothing.
    const other: string[] = [];
    await captured(other);
    const wrong = await trace(capture, { keyLog: parseKeyLog(other.join('\n')) });
    expect(wrong.some(({ fields }) => fields?.opened === true)).toBe(false);
    // In a log of both, those of this one are found.
    const both = await trace(capture, { keyLog: parseKeyLog([...other, ...log].join('\n')), payload: true });
    expect(words(both)).toContain('SEALED-BODY-a.test');
  });
});

test('a session inside a tunnel is shown as well, where the tunnel can be read', async () => {
  const { port, over } = await serve();
  const proxy = new ConnectProxy({ allow: ['127.0.0.1:*'] });
  const { port: proxyPort } = (await proxy.listen({ host: '127.0.0.1', port: 0 })) as AddressInfo;
  scope.defer(async () => {
    for (const session of proxy.sessions) session.destroy();
    await proxy.close();
  });
  const tap = await Wiretap.start(scope, proxyPort);
  const outer = await Client.connect(tap.address);
  const { keeper, labels } = keys();
  const inner = await outer.through('127.0.0.1', port, {}, { keeper });
  await talk(inner, labels);
  await over;
  await outer.close();
  const records = await trace(tap.only, { payload: true });
  const inside = records.filter(({ tunnel }) => tunnel !== undefined);
  expect(new Set(inside.map(({ tunnel }) => String(tunnel)))).toEqual(new Set(['1']));
  expect(inside.filter(({ nego }) => nego?.kind === 'first').map(({ nego }) => nego?.authority)).toEqual(
    NAMES,
  );
  expect(inside.some(({ headers = [] }) => headers.some(([, value]) => value === '/CLEAR-PATH'))).toBe(true);
});

test('a connection that was not captured from its beginning, and other protocols, are passed over', async () => {
  const { port, over } = await serve();
  const tap = await Wiretap.start(scope, port);
  const client = await Client.connect(tap.address);
  await client.close();
  await over;
  const { up, down } = tap.only;
  const others = [
    ['GET / HTTP/1.1\r\nHost: a\r\n\r\n', 'HTTP/1.1 200 OK\r\n\r\n'],
    ['SSH-2.0-a\r\n', 'SSH-2.0-b\r\n'],
    ['', 'who speaks first\r\n'],
    [String.fromCharCode(22, 3, 1), ''],
  ].map((texts) => texts.map((words) => Buffer.from(words, 'latin1')));
  for (const [upstream, downstream] of others) expect(await trace(said(upstream, downstream))).toEqual([]);
  const whole = pcapOf(said(up, down));
  const late = Buffer.concat([whole.subarray(0, 24), whole.subarray(24 + 3 * 56)]); // without the handshake of TCP
  const records: CapturedRecord[] = [];
  for await (const record of traceCapture(readCapture(Readable.from([late])))) records.push(record);
  expect(records).toEqual([]);
});

test('damage ends what can be shown of that direction, with the reason', async () => {
  const { port, over } = await serve();
  const tap = await Wiretap.start(scope, port);
  const { keeper, labels } = keys();
  const client = await Client.connect(tap.address, { keeper });
  await talk(client, labels);
  await over;
  const { up, down } = tap.only;
  const damaged = Buffer.concat([
    up.subarray(0, 60),
    Buffer.from('8007000100000000', 'hex'),
    up.subarray(60),
  ]);
  const records = await trace(said(damaged, down));
  const errors = records.filter(({ type }) => type === 'ERROR');
  expect(errors).toHaveLength(1);
  expect(errors[0]).toMatchObject({ from: 'client' });
  expect(records.filter(({ from, type }) => from === 'server' && type === 'SEALED').length).toBeGreaterThan(
    0,
  );
});

test('a capture can see any number of connections, one after the other', async () => {
  const ping = Buffer.from('800300060000000400000001', 'hex');
  async function* files(): AsyncGenerator<Buffer> {
    for (let port = 1; port <= 10_002; port++) {
      const file = pcapOf(said(ping), port);
      yield port === 1 ? file : file.subarray(24); // the head of a file comes once
    }
  }
  let connections = 0;
  for await (const { connection, type } of traceCapture(readCapture(Readable.from(files())))) {
    expect(type).toBe('PING');
    connections = connection;
  }
  expect(connections).toBe(10_002);
});
