import { Client } from '@keymux/client';
import type { KeyLog } from '@keymux/keys';
import type { KeyInfo } from '@keymux/session';
import { type RouteKeys, requestFor } from './keepers.ts';
import { withParty } from './party.ts';
import type { HostPlan, ProxyPlan, RoutePlan } from './plan.ts';
import type { Safeguards } from './safeguards.ts';
import { formatPlace, partyOf, peerNameOf } from './target.ts';

/** A session with the proxy, and the key it was sealed with. */
export interface Hop {
  readonly client: Client;
  readonly key: KeyInfo | undefined;
}

/** A session with the host of a URL. */
export interface Reached {
  readonly client: Client;
  /** That of the host; undefined if it is to be asked in the clear. */
  readonly key: KeyInfo | undefined;
  /** That of the proxy; undefined without one, or if the CONNECT travelled in the clear. */
  readonly proxyKey: KeyInfo | undefined;
}

/** Sessions to the hosts of a plan: one connection, one tunnel for each place to connect to, one key for each host. */
export class Route {
  readonly #plan: RoutePlan;
  readonly #keys: RouteKeys;
  readonly #keyLog: KeyLog | undefined;
  readonly #safeguards: Safeguards;
  #hop: Hop | undefined;
  readonly #sessions = new Map<string, { client: Client; proxyKey: KeyInfo | undefined }>();
  readonly #hostKeys = new Map<string, KeyInfo>();

  constructor(plan: RoutePlan, keys: RouteKeys, keyLog?: KeyLog, safeguards: Safeguards = {}) {
    this.#plan = plan;
    this.#keys = keys;
    this.#keyLog = keyLog;
    this.#safeguards = safeguards;
  }

  /** Opens what is not open yet. Rejects with the error of whatever failed. */
  async to(host: HostPlan): Promise<Reached> {
    const place = formatPlace(host.target.place);
    let session = this.#sessions.get(place);
    if (session === undefined || !session.client.session.takesStreams) {
      this.#hostKeys.clear(); // what was negotiated in a session ends with it
      session = await this.#open(host, place);
      this.#sessions.set(place, session);
    }
    return { ...session, key: await this.#hostKey(session.client, host, place) };
  }

  /** The session with the proxy of the plan; opens it if it is not open yet. */
  async hop(): Promise<Hop | undefined> {
    const { proxy } = this.#plan;
    if (proxy !== undefined && !this.#hop?.client.session.takesStreams)
      this.#hop = await connectToProxy(proxy, this.#keys, this.#keyLog);
    return this.#hop;
  }

  async close(): Promise<void> {
    for (const { client } of this.#sessions.values()) await client.close();
    await this.#hop?.client.close();
  }

  async #open({ target, payloadOutside: selfProtected }: HostPlan, place: string) {
    const { keeper } = this.#keys.hosts;
    const session = { keeper, peerName: peerNameOf(target), keyLog: this.#keyLog, ...this.#safeguards };
    const hop = await this.hop();
    if (hop === undefined) return { client: await Client.connect(place, session), proxyKey: undefined };
    const { client, key } = hop;
    const { host, port } = target.place;
    const tunnel = { key, selfProtected, eager: true };
    return { client: await client.through(host, port, tunnel, session), proxyKey: key };
  }

  async #hostKey(client: Client, host: HostPlan, place: string): Promise<KeyInfo | undefined> {
    const { target } = host;
    const request = requestFor(host.key, this.#keys.hosts, target.hostname);
    if (request === undefined || host.clear.value) return undefined;
    const name = `${target.hostname}:${target.port} ${place}`;
    const known = this.#hostKeys.get(name);
    // Behind a front a key can be gone although its session is not (spec 10.3).
    if (known !== undefined && client.session.key(known.keyId) !== undefined) return known;
    const key = await withParty(partyOf(target), () =>
      client.negotiate({
        ...request,
        authority: target.hostname,
        peerName: peerNameOf(target),
        early: host.early.value,
      }),
    );
    this.#hostKeys.set(name, key);
    return key;
  }
}

/** Opens a session with a proxy and negotiates its key. */
export async function connectToProxy(
  { address, key: plan }: ProxyPlan,
  { proxy: keys }: Pick<RouteKeys, 'proxy'>,
  keyLog?: KeyLog,
): Promise<Hop> {
  const request = keys && requestFor(plan, keys, '');
  const party = `the proxy ${address.value}`;
  const client = await withParty(party, () =>
    Client.connect(address.value, keys && { keeper: keys.keeper, keyLog }),
  );
  if (request === undefined) return { client, key: undefined };
  try {
    return { client, key: await withParty(party, () => client.negotiate(request)) };
  } catch (error) {
    client.session.destroy(); // it is of no use, and would keep the process alive
    throw error;
  }
}
