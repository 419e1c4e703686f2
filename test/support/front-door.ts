import type { AddressInfo } from 'node:net';
import type { Client, ClientOptions } from '@keymux/client';
import { ALGORITHM, type KeyInfo, Keyring, LocalKeeper, type PreSharedKey } from '@keymux/keys';
import { type Handler, Origin } from '@keymux/origin';
import { Front, type FrontOptions } from '@keymux/proxy';
import type { MuxSession } from '@keymux/streams';
import { connectClient } from './library.ts';
import { type Meddler, Middle } from './middle.ts';
import { hashOf, payload } from './payload.ts';
import type { Scope } from './scope.ts';
import { ALPHA, BETA, Keys } from './victims.ts';

export interface DoorOptions {
  /** What a man between client and front does, and one between the front and each host. */
  readonly meddle?: { readonly client?: Meddler; readonly alpha?: Meddler; readonly beta?: Meddler };
  readonly front?: FrontOptions['limits'];
  /** ALG_IDs that the hosts allow. */
  readonly algorithms?: readonly number[];
  /** Where the front takes each host to be, if not where it is. */
  readonly hosts?: (alpha: Host, beta: Host) => readonly (readonly [string, number])[];
  readonly client?: ClientOptions['config'];
}

/** A host behind the front, with its own key and no other. */
export interface Host {
  readonly origin: Origin;
  readonly sessions: MuxSession[];
  /** Where its requests came from, and what for. */
  readonly requests: string[];
  readonly link: Middle;
}

/** A client, a front, and two hosts behind it, over real sockets and all in this process. */
export interface Door {
  readonly keys: Keys;
  readonly front: Front;
  readonly wire: Middle;
  readonly alpha: Host;
  readonly beta: Host;
  readonly client: Client;
  /** What the front reports: `run alpha.test`, `gone alpha.test 2`, `end`. */
  readonly log: string[];
  connect(): Promise<Client>;
  /** Negotiates a key of a host; `label` is that of the host's own key unless another is asked for. */
  key(host: string, options?: { algorithm?: number; client?: Client; label?: string }): Promise<KeyInfo>;
}

export async function setDoor(scope: Scope, options: DoorOptions = {}): Promise<Door> {
  const keys = new Keys();
  const { algorithms, meddle = {} } = options;
  const alpha = await startHost(scope, ALPHA, keys.alpha, algorithms, meddle.alpha);
  const beta = await startHost(scope, BETA, keys.beta, algorithms, meddle.beta);
  const places = options.hosts?.(alpha, beta) ?? [
    [ALPHA, alpha.link.port],
    [BETA, beta.link.port],
  ];
  const hosts = new Map(places.map(([name, port]) => [name, { host: '127.0.0.1', port }]));
  const front = new Front({ hosts, ...(options.front ? { limits: options.front } : {}) });
  scope.defer(() => void front.close());
  const log: string[] = [];
  front.on('run', ({ host, served }) => log.push(`run ${host}${served ? '' : ' refused'}`));
  front.on('hostGone', ({ host, status }) => log.push(`gone ${host} ${status}`));
  front.on('sessionEnd', (_peer, error) => log.push(error === undefined ? 'end' : `end ${error.message}`));
  const { port } = (await front.listen({ host: '127.0.0.1', port: 0 })) as AddressInfo;
  const wire = await Middle.start(scope, port, options.meddle?.client);
  const connect = (): Promise<Client> =>
    connectClient(scope, wire.address, {
      keeper: clientKeeper(keys),
      ...(options.client ? { config: options.client } : {}),
    });
  const client = await connect();
  const key: Door['key'] = (host, { algorithm = ALGORITHM.PSK_X25519, client: by = client, label } = {}) =>
    by.negotiate({ algorithm, label: label ?? keys.of(host), authority: host });
  return { keys, front, wire, alpha, beta, client, log, connect, key };
}

/** A client that may also be wrong about whose its keys are. */
function clientKeeper(keys: Keys): LocalKeeper {
  const keyring = new Keyring();
  keyring.add(keys.alpha, { authorities: [ALPHA, GAMMA, ''], roles: ['initiator'] });
  keyring.add(keys.beta, { authorities: [BETA, ALPHA], roles: ['initiator'] });
  return new LocalKeeper({ keyring });
}

/** A host that nobody serves. */
export const GAMMA = 'gamma.test';

async function startHost(
  scope: Scope,
  name: string,
  key: PreSharedKey,
  algorithms: readonly number[] | undefined,
  meddle: Meddler | undefined,
): Promise<Host> {
  const keyring = new Keyring();
  keyring.add(key, { authorities: [name], roles: ['responder'] });
  const keeper = new LocalKeeper({ keyring, replaysKnownSince: 0, ...(algorithms ? { algorithms } : {}) });
  const requests: string[] = [];
  const sessions: MuxSession[] = [];
  const handler = hostHandler(requests);
  const origin = new Origin({ keeper, hosts: [{ name, handler }], behindFront: true });
  origin.on('session', (session) => sessions.push(session));
  origin.on('request', ({ peer }) => requests.push(`from ${peer.replace(/:[0-9]+$/, '')}`));
  const address = (await origin.listen({ host: '127.0.0.1', port: 0 })) as AddressInfo;
  scope.defer(() => {
    for (const session of sessions) session.carrier.destroy();
    return origin.close();
  });
  const link = await Middle.start(scope, address.port, meddle);
  return { origin, sessions, requests, link };
}

function hostHandler(requests: string[]): Handler {
  return async ({ method, path, host, body }) => {
    requests.push(`${method} ${path}`);
    const [, what, size] = path.split('/');
    if (what === 'bulk') return { status: 200, body: payload(Number(size)) };
    if (what === 'never') await new Promise(() => undefined);
    const { sha256, bytes } = await hashOf(body);
    return { status: 200, body: `${host} ${bytes} ${sha256}` };
  };
}
