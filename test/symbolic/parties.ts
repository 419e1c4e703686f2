import { ALL_RULES, type Rules } from './rules.ts';
import type { Algorithm, Party, Script } from './script.ts';
import type { Setup } from './search.ts';
import { atom, constant, publicKey, type Term } from './terms.ts';

/** A and B follow the rules. E is a host that does not: what it knows, the attacker knows. */
type Agent = 'A' | 'B' | 'E';

const PRIVATE_KEY: Record<Agent, Term> = {
  A: atom('private key of A'),
  B: atom('private key of B'),
  E: atom('private key of E'),
};

/** Each two of them share a key. */
const SHARED_KEY = {
  AB: atom('shared key of A and B'),
  AE: atom('shared key of A and E'),
  BE: atom('shared key of B and E'),
};
const DISHONEST = [PRIVATE_KEY.E, SHARED_KEY.AE, SHARED_KEY.BE];

/** The long-term keys that can leak. */
export const LONG_TERM = {
  sharedKey: SHARED_KEY.AB,
  privateKeyOfA: PRIVATE_KEY.A,
  privateKeyOfB: PRIVATE_KEY.B,
};

const host = (agent: Agent): Term => constant(`host ${agent}`);
const CONNECTION = constant('');

function sharedKeys(one: Agent, ...others: readonly Agent[]): NonNullable<Party['shared']> {
  return new Map(
    others.map((other) => {
      const names = [one, other].sort().join('') as keyof typeof SHARED_KEY;
      return [constant(`label ${names}`), { key: SHARED_KEY[names], peer: other }];
    }),
  );
}

function identities(...agents: readonly Agent[]): NonNullable<Party['accepts']> {
  return new Map(
    agents.map((agent) => [publicKey(PRIVATE_KEY[agent]), { privateKey: PRIVATE_KEY[agent], peer: agent }]),
  );
}

interface Options {
  readonly authorities?: readonly Term[];
  readonly initiatorIs?: 'client' | 'server';
  readonly past?: boolean;
  readonly rules?: Rules;
}

type Place = Pick<Party, 'agent' | 'session' | 'role'>;

function party(place: Place, peers: readonly Agent[], options: Options): Party {
  const agent = place.agent as Agent;
  const { authorities = [CONNECTION], initiatorIs = 'client', past = false, rules = ALL_RULES } = options;
  return {
    ...place,
    initiatorIs,
    shared: sharedKeys(agent, ...peers),
    privateKey: PRIVATE_KEY[agent],
    accepts: identities(...peers),
    authorities,
    past: past && place.role === 'initiator' ? constant(`past of ${place.session}`) : undefined,
    rules,
  };
}

function initiator(
  { initiator }: Algorithm,
  agent: Agent,
  session: string,
  peer: Agent,
  options: Options,
): Script {
  return initiator(party({ agent, session, role: 'initiator' }, [peer], options));
}

function responder(
  { responder }: Algorithm,
  agent: Agent,
  session: string,
  peers: readonly Agent[],
  options: Options,
): Script {
  return responder(party({ agent, session, role: 'responder' }, peers, options));
}

function setup(sessions: readonly Script[]): Setup {
  return { sessions, leaked: DISHONEST, protects: ['A', 'B'], honest: ['A', 'B'] };
}

/** A and B are both clients and servers, and ask each other for a connection key: no name says who is meant. */
export function bothRoles(algorithm: Algorithm, options: Options = {}): Setup {
  return setup([
    initiator(algorithm, 'A', 'I1', 'B', options),
    initiator(algorithm, 'B', 'I2', 'A', options),
    responder(algorithm, 'A', 'R1', ['B'], options),
    responder(algorithm, 'B', 'R2', ['A'], options),
  ]);
}

/** The same, with the names of hosts in the offers. */
export function bothRolesByName(algorithm: Algorithm, options: Options = {}): Setup {
  const at = (agent: Agent): Options => ({ ...options, authorities: [host(agent)] });
  return setup([
    initiator(algorithm, 'A', 'I1', 'B', at('B')),
    initiator(algorithm, 'B', 'I2', 'A', at('A')),
    responder(algorithm, 'A', 'R1', ['B'], at('A')),
    responder(algorithm, 'B', 'R2', ['A'], at('B')),
  ]);
}

/** A is client only, B server only. Either may begin a run; A begins one and answers one that the server begins. */
export function fixedRoles(algorithm: Algorithm, options: Options = {}): Setup {
  return setup([
    initiator(algorithm, 'A', 'I1', 'B', { ...options, initiatorIs: 'client' }),
    initiator(algorithm, 'B', 'I2', 'A', { ...options, initiatorIs: 'server' }),
    responder(algorithm, 'A', 'R1', ['B'], { ...options, initiatorIs: 'server' }),
    responder(algorithm, 'B', 'R2', ['A'], { ...options, initiatorIs: 'client' }),
  ]);
}

/** A asks for host B and for host E, which is dishonest. B answers A and E. */
export function hosts(algorithm: Algorithm, options: Options = {}): Setup {
  const toB = { ...options, authorities: [host('B')] };
  const toE = { ...options, authorities: [host('E')] };
  return setup([
    initiator(algorithm, 'A', 'I1', 'B', toB),
    initiator(algorithm, 'A', 'I2', 'E', toE),
    responder(algorithm, 'B', 'R1', ['A', 'E'], toB),
    responder(algorithm, 'B', 'R2', ['A', 'E'], toB),
  ]);
}

/** A asks B. What came before the run may be what A sent, or something of the attacker's. */
export function withPast(algorithm: Algorithm, options: Options = {}): Setup {
  const past = { ...options, past: true };
  return setup([initiator(algorithm, 'A', 'I1', 'B', past), responder(algorithm, 'B', 'R1', ['A'], past)]);
}

/** E has given one key of its own to A, as the key to host E, and to B, as E's key to host B, under two labels. */
export function dealtKey(algorithm: Algorithm, options: Options = {}): Setup {
  const key = atom('key dealt by E');
  const dealt = (label: string) => new Map([[constant(label), { key, peer: 'E' }]]);
  const one = party({ agent: 'A', session: 'I1', role: 'initiator' }, ['E'], {
    ...options,
    authorities: [host('E')],
  });
  const other = party({ agent: 'B', session: 'R1', role: 'responder' }, ['E'], {
    ...options,
    authorities: [host('B')],
  });
  const sessions = [
    algorithm.initiator({ ...one, shared: dealt('given to A') }),
    algorithm.responder({ ...other, shared: dealt('given to B') }),
  ];
  return { ...setup(sessions), leaked: [...DISHONEST, key] };
}

/** The same, and the attacker knows these keys from the beginning. */
export function leaking(setup: Setup, ...keys: readonly Term[]): Setup {
  return { ...setup, leaked: [...(setup.leaked ?? []), ...keys] };
}

/** The secret values of this name that the sessions of a setup make for a run. */
export function ephemeral(setup: Setup, ...names: readonly string[]): Term[] {
  return setup.sessions.flatMap(({ fresh }) => names.flatMap((name) => fresh[name] ?? []));
}
