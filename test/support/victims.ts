import { randomBytes } from 'node:crypto';
import type { AddressInfo } from 'node:net';
import { Readable } from 'node:stream';
import { buffer } from 'node:stream/consumers';
import { setImmediate } from 'node:timers/promises';
import type { Client, ClientOptions, Response } from '@keymux/client';
import {
  ALGORITHM,
  type Keeper,
  type KeyInfo,
  Keyring,
  LocalKeeper,
  type LocalKeeperOptions,
  PreSharedKey,
} from '@keymux/keys';
import { Origin, type OriginOptions } from '@keymux/origin';
import type { MuxSession } from '@keymux/streams';
import { expect } from 'vitest';
import { bodyOf, connectClient } from './library.ts';
import { type Meddler, Middle } from './middle.ts';
import type { Scope } from './scope.ts';

export const ALPHA = 'alpha.test';
export const BETA = 'beta.test';
export const KEY_FAILURE = 'ERR_KEYMUX_KEY_FAILURE';

/** A request that reached a handler of the origin. */
export interface Delivered {
  readonly host: string;
  readonly method: string;
  readonly path: string;
  readonly headers: readonly (readonly [string, string])[];
  /** Level of what has come so far, at its weakest. */
  level: string;
  /** The body, if it came to a proper end. */
  body: string | undefined;
  /** What of it came at all. */
  received: string;
}

/** Long-term keys, each with the label that its holders know it by. */
export class Keys {
  readonly connection = new PreSharedKey(randomBytes(32));
  readonly alpha: PreSharedKey;
  readonly beta = new PreSharedKey(randomBytes(32));

  /** `alpha` for a key that somebody else has, too. */
  constructor({ alpha = new PreSharedKey(randomBytes(32)) }: { alpha?: PreSharedKey } = {}) {
    this.alpha = alpha;
  }

  /** A keeper that has all of them. */
  keeper(options: Partial<LocalKeeperOptions> = {}): LocalKeeper {
    const keyring = new Keyring();
    keyring.add(this.connection, { authorities: [''] });
    keyring.add(this.alpha, { authorities: [ALPHA] });
    keyring.add(this.beta, { authorities: [BETA] });
    return new LocalKeeper({ keyring, ...options });
  }

  of(authority: string): string {
    return { '': this.connection, [ALPHA]: this.alpha, [BETA]: this.beta }[authority]?.label ?? 'nobody';
  }
}

export interface VictimOptions {
  readonly meddle?: Meddler;
  readonly keys?: Keys;
  readonly keeper?: { readonly client?: Keeper; readonly origin?: Keeper };
  /** More options of the client, and of the origin. */
  readonly client?: ClientOptions;
  readonly origin?: Partial<OriginOptions>;
}

/** An origin for two hosts, and a client that reaches it through a man in the middle. */
export interface Victims {
  readonly keys: Keys;
  readonly middle: Middle;
  readonly client: Client;
  /** What the origin's handlers were given. */
  readonly delivered: Delivered[];
  /** The origin's end of the sessions. */
  readonly sessions: MuxSession[];
  readonly port: number;
  /** Another client of the same origin, through the same middle. */
  connect(): Promise<Client>;
  /** Negotiates a key; `authority` is empty for a connection key. */
  key(authority: string, algorithm?: number, client?: Client): Promise<KeyInfo>;
}

export async function setVictims(scope: Scope, options: VictimOptions = {}): Promise<Victims> {
  const { keys = new Keys() } = options;
  const delivered: Delivered[] = [];
  const sessions: MuxSession[] = [];
  const keeper = options.keeper?.origin ?? keys.keeper();
  const hosts = [ALPHA, BETA].map((name) => ({
    name,
    promptLabel: keys.of(name),
    handler: handlerFor(delivered),
  }));
  const origin = new Origin({ keeper, hosts, ...options.origin });
  origin.on('session', (session) => sessions.push(session));
  const { port } = (await origin.listen({ host: '127.0.0.1', port: 0 })) as AddressInfo;
  scope.defer(() => origin.close());
  const middle = await Middle.start(scope, port, options.meddle);
  const ours = { keeper: options.keeper?.client ?? keys.keeper(), ...options.client };
  const connect = () => connectClient(scope, middle.address, ours);
  const client = await connect();
  const negotiate: Victims['key'] = (authority, algorithm = ALGORITHM.PSK_X25519, by = client) =>
    by.negotiate({ algorithm, label: keys.of(authority), authority });
  return { keys, middle, client, delivered, sessions, port, connect, key: negotiate };
}

function handlerFor(delivered: Delivered[]): OriginOptions['hosts'][number]['handler'] {
  return async (request) => {
    const { host, method, path, headers } = request;
    const entry: Delivered = { host, method, path, headers, level: '', body: undefined, received: '' };
    const note = () => {
      entry.level = request.security.received.level;
    };
    note();
    delivered.push(entry);
    if (path.startsWith('/prompt')) await request.sealAnswer();
    request.body.on('data', (chunk: Buffer) => {
      entry.received += chunk.toString('latin1');
      note();
    });
    entry.body = (await buffer(request.body)).toString('latin1');
    note();
    if (path === '/pieces') return { status: 200, body: Readable.from(pieces()) };
    return { status: 200, body: `${SECRET} of ${host}, ${entry.body.length} bytes taken` };
  };
}

/** A body in several envelopes. */
async function* pieces(): AsyncGenerator<Buffer> {
  for (const piece of PIECES) {
    yield Buffer.from(piece);
    await setImmediate();
  }
}

export const PIECES = ['first,', 'last'];

/** Stands in every answer. */
export const SECRET = 'CANARY-of-the-answer';

export interface Told {
  readonly status: number;
  readonly level: string;
  readonly body: string;
}

/** An answer to its end. */
export async function tell(response: Promise<Response>): Promise<Told> {
  const answer = await response;
  const body = await bodyOf(answer);
  return { status: answer.status, level: answer.security.received.level, body };
}

/** What a promise rejects with; undefined if it does not. */
export function failureOf(promise: Promise<unknown>): Promise<Error | undefined> {
  return promise.then(
    () => undefined,
    (error: Error) => error,
  );
}

export function codeOf(error: Error | undefined): string | undefined {
  return (error as { code?: string } | undefined)?.code;
}

/** Both sides of the (first) session are over, because of a key, and say nothing else of it than that. */
export async function expectKeyFailure({ client, sessions }: Victims): Promise<void> {
  const [session] = sessions;
  if (session === undefined) throw new Error('the origin has no session');
  const ends = await Promise.all([client.session.closed, session.closed]);
  expect(ends.map(codeOf)).toContain(KEY_FAILURE);
  // Who cannot seal its GOAWAY closes the connection without it; the other side has seen it end too early.
  for (const code of ends.map(codeOf)) expect(GONE).toContain(code);
}

const GONE = [KEY_FAILURE, 'ERR_KEYMUX_CARRIER_ENDED', 'ERR_KEYMUX_CARRIER', undefined];
