import type { AddressInfo } from 'node:net';
import { Client } from '@keymux/client';
import { ALGORITHM, type KeyInfo } from '@keymux/keys';
import { ConnectProxy } from '@keymux/proxy';
import { SessionServer } from '@keymux/streams';
import type { Connection, Contender, Dialer } from '../contender.ts';
import { type KeySource, keeperFor, makeIdentities, PEER_NAME } from '../keys.ts';
import { serveTask } from '../task.ts';

/** Whom the client has a key with. */
type Sealed = 'nobody' | 'proxy' | 'proxy and origin' | 'origin';

interface Params extends KeySource {
  readonly sealed: Sealed;
  readonly carrier: 'tcp' | 'websocket';
  /** What does not wait until the proxy, or origin too, has answered, by ALG 1: the CONNECT, and also the request. */
  readonly early?: 'CONNECT' | 'everything' | undefined;
  /** Port of the proxy; without one the client goes to the origin. */
  readonly proxy?: number;
  readonly origin: number;
}

/** As many streams as a benchmark holds open. */
const MOST_STREAMS = 20_000;
const config = { maxConcurrentStreams: MOST_STREAMS, acceptEarly: () => true };
/** All clients of a benchmark have one address: what one client may have by default is not what is measured. */
const limits = {
  maxConcurrentStreams: MOST_STREAMS,
  ...{ keyWork: 1_000_000, keyWorkPerClient: 1_000_000, connectionsPerClient: 10_000 },
};
/** Each stream of a client that has no key with the origin is a tunnel. */
const tunnelLimits = { ...limits, tunnels: MOST_STREAMS, tunnelsPerClient: MOST_STREAMS };
const LOCALHOST = '127.0.0.1';
const REQUEST: [string, string][] = [
  [':method', 'POST'],
  [':path', '/'],
  [':version', 'HTTP/1.1'],
  [':host', 'origin.test'],
  [':scheme', 'http'],
];
const ANSWER: [string, string][] = [
  [':status', '200 OK'],
  [':version', 'HTTP/1.1'],
];

export async function origin(source: KeySource): Promise<number> {
  const { keeper } = await keeperFor('origin', 'origin', source);
  const server = new SessionServer({ keeper, limits, config });
  server.on('session', (session) =>
    session.on('stream', (stream) => {
      stream.respond(ANSWER);
      void serveTask(stream);
    }),
  );
  return ((await server.listen({ port: 0, host: LOCALHOST })) as AddressInfo).port;
}

export async function proxy({ sealed, destination, ...source }: ProxyParams): Promise<number> {
  const { keeper } = await keeperFor('proxy', 'proxy', source);
  const level = sealed ? 'passive' : 'none';
  const server = new ConnectProxy({
    allow: [`${LOCALHOST}:${destination}`],
    level,
    limits: tunnelLimits,
    earlyConnect: true,
    keeper,
  });
  return ((await server.listen({ port: 0, host: LOCALHOST })) as AddressInfo).port;
}

interface ProxyParams extends KeySource {
  readonly sealed: boolean;
  readonly destination: number;
}

export function client(params: Params): Dialer {
  const keys = { proxy: keeperFor('proxy', 'client', params), origin: keeperFor('origin', 'client', params) };
  return {
    connect: () =>
      params.proxy === undefined ? toOrigin(params, keys) : throughProxy(params, params.proxy, keys),
  };
}

/** The client's keys, which all its connections share. */
type Keys = Record<'proxy' | 'origin', ReturnType<typeof keeperFor>>;

async function toOrigin(params: Params, keys: Keys): Promise<Connection> {
  const { keeper, label } = await keys.origin;
  const client = await Client.connect(addressOf(params.origin, params), {
    keeper,
    config,
    peerName: PEER_NAME,
  });
  return requestsOver(client, await client.negotiate({ algorithm: params.algorithm, label }));
}

async function throughProxy(params: Params, proxy: number, keys: Keys): Promise<Connection> {
  const { origin, algorithm, sealed, early } = params;
  const hop = await keys.proxy;
  const options = { keeper: hop.keeper, config, earlyMethods: ['CONNECT'] };
  const outer = await Client.connect(addressOf(proxy, params), options);
  const close = (): void => outer.session.destroy();
  const first = early === undefined ? algorithm : ALGORITHM.PSK;
  const hopKey = { algorithm: first, label: hop.label, early: early !== undefined };
  const key = sealed === 'nobody' ? undefined : await outer.negotiate(hopKey);
  if (sealed !== 'proxy and origin') return { open: () => outer.tunnel(LOCALHOST, origin, { key }), close };
  const end = await keys.origin;
  const inner = await outer.through(
    LOCALHOST,
    origin,
    { key, selfProtected: true, eager: true },
    { keeper: end.keeper, config },
  );
  const endKey = await inner.negotiate({ algorithm, label: end.label, early: early === 'everything' });
  return { ...requestsOver(inner, endKey), close };
}

function addressOf(port: number, { carrier }: Params): string {
  return carrier === 'tcp' ? `${LOCALHOST}:${port}` : `ws://${LOCALHOST}:${port}/`;
}

function requestsOver({ session }: Client, key: KeyInfo): Connection {
  return { open: async () => session.openStream(REQUEST, { key }), close: () => session.destroy() };
}

function proxied(
  name: string,
  title: string,
  sealed: Exclude<Sealed, 'origin'>,
  options: Partial<Pick<Params, 'algorithm' | 'carrier' | 'early'>> = {},
): Contender {
  const { algorithm = ALGORITHM.PSK_X25519, carrier = 'tcp', early } = options;
  const endToEnd = sealed === 'proxy and origin';
  return {
    name,
    title,
    protection: endToEnd ? 'end to end' : sealed === 'proxy' ? 'hop' : 'none',
    async start(stage) {
      const source = { algorithm, directory: stage.directory };
      const { port: origin } = await stage.node('origin', endToEnd ? 'keymux' : 'tcp', 'origin', source);
      const hop: ProxyParams = { ...source, sealed: sealed !== 'nobody', destination: origin };
      const proxy = await stage.reach((await stage.node('proxy', 'keymux', 'proxy', hop)).port);
      const params: Params = { ...source, sealed, carrier, early, proxy, origin };
      return { module: 'keymux', params };
    },
  };
}

/** Without a proxy: what a negotiation costs. */
function direct(name: string, algorithm: number): Contender {
  return {
    name: `keymux-${name}`,
    title: `keymux ${name}, without a proxy`,
    protection: 'end to end',
    async start(stage) {
      const source = { algorithm, directory: stage.directory };
      if (algorithm === ALGORITHM.SIGNED) makeIdentities(stage.directory);
      const { port: origin } = await stage.node('origin', 'keymux', 'origin', source);
      return {
        module: 'keymux',
        params: { ...source, sealed: 'origin', carrier: 'tcp', origin } satisfies Params,
      };
    },
  };
}

export const contenders: readonly Contender[] = [
  proxied('keymux', 'keymux, sealed end to end and to the proxy', 'proxy and origin'),
  proxied('keymux-hop', 'keymux, sealed to the proxy', 'proxy'),
  proxied('keymux-clear', 'keymux in the clear', 'nobody'),
  proxied('keymux-websocket', 'keymux over WebSocket, sealed end to end', 'proxy and origin', {
    carrier: 'websocket',
  }),
  proxied('keymux-alg2', 'keymux, keys by the spiped handshake, end to end', 'proxy and origin', {
    algorithm: ALGORITHM.SPIPED,
  }),
];

/** For the first byte of a fresh connection. */
export const earlyContenders: readonly Contender[] = [
  {
    ...proxied('keymux-early', 'keymux, all early data by psk', 'proxy and origin', {
      ...{ algorithm: ALGORITHM.PSK, early: 'everything' },
    }),
    onLinks: 'first byte',
  },
  {
    ...proxied(
      'keymux-early-connect',
      'keymux, CONNECT as early data by psk, forward secrecy with the origin',
      'proxy and origin',
      { early: 'CONNECT' },
    ),
    onLinks: 'first byte',
  },
];

export const sessionContenders: readonly Contender[] = [
  direct('psk', ALGORITHM.PSK),
  direct('spiped', ALGORITHM.SPIPED),
  direct('psk-x25519', ALGORITHM.PSK_X25519),
  direct('signed', ALGORITHM.SIGNED),
  direct('anonymous', ALGORITHM.ANONYMOUS),
  direct('hybrid', ALGORITHM.HYBRID),
];
