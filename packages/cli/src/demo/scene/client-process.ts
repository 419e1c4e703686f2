// The client of the scene, in a process of its own. It does what it is told over the channel of its parent, and says what came of it.
import { text } from 'node:stream/consumers';
import { Client } from '@keymux/client';
import { ALGORITHM, algorithmName, Keyring, LocalKeeper, readKeyFile } from '@keymux/keys';
import type { KeyInfo } from '@keymux/session';

/** What the client is told to do, one at a time. Arguments of the process are the host and its key file. */
export type Order =
  | { readonly do: 'connect'; readonly address: string }
  /** Has a key with the host from now on, and asks under it. */
  | { readonly do: 'negotiate' }
  | { readonly do: 'request'; readonly method: string; readonly path: string; readonly body?: string }
  | { readonly do: 'close' };

export interface Report {
  /** Why it could not be done; then there is nothing else. */
  readonly error?: string;
  readonly status?: number;
  readonly body?: string;
  /** What the request was sealed with, and the answer; missing in the clear. */
  readonly sent?: KeyName;
  readonly received?: KeyName;
  /** Keys that have been negotiated since the last report, in hex: what a thief of session keys would have. */
  readonly sessionKeys: readonly string[];
}

export interface KeyName {
  readonly id: number;
  readonly algorithm: string;
  readonly level: string;
}

const [host = '', keyFile = ''] = process.argv.slice(2);
const keyring = new Keyring();
const label = keyring.add((await readKeyFile(keyFile)).key, { authorities: [host] });
const keeper = new LocalKeeper({ keyring });
let sessionKeys: string[] = [];
let client: Client | undefined;
let key: KeyInfo | undefined;

process.on('message', (order: Order) => {
  obey(order)
    .catch((error: Error) => ({ error: error.message }))
    .then((report) => process.send?.({ ...report, sessionKeys }))
    .then(() => {
      sessionKeys = [];
    });
});
process.on('disconnect', () => process.exit());

async function obey(order: Order): Promise<Partial<Report>> {
  if (order.do === 'connect') {
    key = undefined;
    client = await Client.connect(order.address, {
      keeper,
      keyLog: (_, entry) => sessionKeys.push(Buffer.from(entry().key).toString('hex')),
    });
  } else if (order.do === 'negotiate') {
    key = await client?.negotiate({ algorithm: ALGORITHM.PSK_X25519, label, authority: host });
  } else if (order.do === 'close') {
    await client?.close();
  } else return request(order);
  return {};
}

async function request({ method, path, body }: Order & { do: 'request' }): Promise<Partial<Report>> {
  if (client === undefined) throw new Error('not connected');
  const response = await client.request({ host, method, path, key, ...(body !== undefined && { body }) });
  const { status } = response;
  const answer = await text(response.body);
  const { sent, received } = response.security;
  key ??= received.key; // the server has prompted for it
  return { status, body: answer, ...named('sent', sent.key), ...named('received', received.key) };
}

function named(direction: 'sent' | 'received', info: KeyInfo | undefined): Partial<Report> {
  if (info === undefined) return {};
  const { keyId, algorithm, level } = info;
  return { [direction]: { id: keyId, algorithm: algorithmName(algorithm), level } };
}
