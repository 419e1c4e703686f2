import { hostnameOf, type Protection, type RequestHead } from '@keymux/streams';
import type { Demand } from './demand.ts';
import type { Handler } from './handler.ts';

export interface HostOptions {
  /** Lower-case host name that clients ask for. */
  readonly name: string;
  readonly handler: Handler;
  /** Label of the key to prompt clients with; see OriginRequest.sealAnswer. */
  readonly promptLabel?: string | undefined;
  /** ALG_ID, or several in the order of preference; by default those for shared keys. */
  readonly promptAlgorithm?: number | readonly number[] | undefined;
  /** Answer nothing of this host in the clear. */
  readonly sealed?: boolean;
  /** What clients are to remember (spec 9.8): by default, for 30 days, that a `sealed` host is never to be asked with less; else nothing. */
  readonly demand?: Demand | undefined;
  /**
   * Answer under a key that this side negotiates, also what was asked under one of the client's: each direction of a stream has its own (spec
   * 5.7). Clients that cannot answer the prompt get 426.
   */
  readonly keyEachWay?: boolean;
}

/** Finds the host that a request is for. There is no default host: a key speaks for its own host and for no other (spec 4.4). */
export class Router {
  readonly #hosts: ReadonlyMap<string, HostOptions>;

  constructor(hosts: readonly HostOptions[]) {
    this.#hosts = new Map(hosts.map((host) => [host.name.toLowerCase(), host]));
  }

  /** The host, or the HTTP status to refuse with: 421 if this host, or this key, is the wrong one; 405 for CONNECT. */
  find(request: RequestHead, received: Protection): HostOptions | number {
    if (request.method === 'CONNECT') return 405;
    const name = hostnameOf(request.host);
    const host = this.#hosts.get(name);
    if (host === undefined) return 421;
    return received.key === undefined || received.key.authority === name ? host : 421;
  }
}
