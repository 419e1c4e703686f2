import {
  ALGORITHM,
  ANONYMOUS_LABEL,
  Identities,
  type KeptKey,
  KnownHostsFile,
  SIGNED_LABEL,
  type Signer,
  type Trust,
} from '@keymux/keys';
import { isAnonymous } from '../config.ts';
import { ConfigError } from '../errors.ts';
import { loadSigner } from '../identities.ts';
import { addUse, type LoadedKeys, loadKeys } from '../keys.ts';
import type { Output } from '../output.ts';
import { type KeeperOptions, keptFor, remoteKeeper } from '../server-keeper.ts';
import type { Settings } from '../settings.ts';
import type { KeptBy, KeyPlan, ProxyPlan, RoutePlan } from './plan.ts';
import { peerNameOf } from './target.ts';

/** The keys of a route, apart: the sessions with the hosts use nothing that is for the proxy, and the other way round. */
export interface RouteKeys {
  readonly proxy: LoadedKeys | undefined;
  readonly hosts: LoadedKeys;
}

/** Whose key is loaded. */
interface Use {
  readonly key: KeyPlan;
  /** The host it is to speak for; '' for the proxy. */
  readonly authority: string;
}

/** The keeper that --keeper names; undefined if there is no such option. Whoever asks closes it. Rejects with ConfigError, or KeyError if it cannot be reached. */
export async function openKept(
  settings: Settings<KeeperOptions>,
  output: Output,
): Promise<KeptBy | undefined> {
  const keeper = await remoteKeeper(settings.values, output);
  const { value, source } = settings.chosen('keeper');
  return keeper && { keeper, place: { value: value?.text ?? '', source } };
}

/** Reads key files and identities. Rejects with KeyError if one cannot be used. */
export async function loadRoute(plan: RoutePlan, output: Output): Promise<RouteKeys> {
  const signers = new Signers();
  const uses = new Map(plan.hosts.map(({ target: { hostname }, key }) => [hostname, key]));
  const hosts = [...uses].map(([authority, key]) => ({ key, authority }));
  const names = plan.hosts.map(({ target }) => peerNameOf(target));
  const trust = { knownHosts: new KnownHostsFile(plan.knownHosts.value), names };
  return {
    hosts: await load(hosts, ['initiator', 'responder'], trust, signers, output),
    proxy: plan.proxy && (await loadProxy(plan.proxy, plan.knownHosts.value, output, signers)),
  };
}

export function loadProxy(
  { key }: ProxyPlan,
  knownHosts: string,
  output: Output,
  signers = new Signers(),
): Promise<LoadedKeys> {
  const trust = { knownHosts: new KnownHostsFile(knownHosts) };
  return load([{ key, authority: '' }], ['initiator'], trust, signers, output);
}

/** Which key of the keeper to ask for, and how; undefined if there is none. Throws ConfigError if a keeper in another process has none. */
export function requestFor(
  key: KeyPlan,
  { labels }: LoadedKeys,
  authority: string,
): { readonly algorithm: readonly number[]; readonly label: string } | undefined {
  switch (key.kind) {
    case 'none':
      return undefined;
    case 'shared':
      return { algorithm: key.algorithms.value, label: labels.get(key.file.value) as string };
    case 'identity':
      return { algorithm: [ALGORITHM.SIGNED], label: SIGNED_LABEL };
    case 'anonymous':
      return { algorithm: [ALGORITHM.ANONYMOUS], label: ANONYMOUS_LABEL };
    case 'kept':
      return requestKept(key, authority);
  }
}

/** The same of what a keeper in another process has. Throws ConfigError if it has nothing: never is anything sent with less than the user asked for. */
export function requestKept(
  { keeper, place, algorithms }: KeyPlan & { kind: 'kept' },
  authority: string,
): { readonly algorithm: readonly number[]; readonly label: string; readonly proves: KeptKey['proves'] } {
  const anonymous = isAnonymous(algorithms.value);
  const usable = keeper.kept.filter(
    ({ roles, proves }) => roles.includes('initiator') && (proves === 'nobody') === anonymous,
  );
  const kept = keptFor(usable, authority);
  const party = authority === '' ? 'the proxy' : authority;
  const give =
    authority === '' ? '--proxy-key or --proxy-identity' : `--key ${authority}=FILE, or --identity`;
  if (kept === undefined)
    throw new ConfigError(
      `the keeper at ${place.value} has no key for ${party}${anonymous ? ' that proves nobody: give it --anonymous' : `: give it ${give}`}`,
    );
  const { label, proves } = kept;
  const shared = algorithms.value.filter((id) => keeper.algorithms.includes(id));
  return { label, proves, algorithm: proves === 'identity' ? [ALGORITHM.SIGNED] : shared };
}

async function load(
  uses: readonly Use[],
  roles: readonly ('initiator' | 'responder')[],
  trust: Trust,
  signers: Signers,
  output: Output,
): Promise<LoadedKeys> {
  const [kept] = uses.flatMap(({ key }) => (key.kind === 'kept' ? [key.keeper] : []));
  if (kept !== undefined) {
    for (const { key, authority } of uses) if (key.kind === 'kept') requestKept(key, authority); // before anybody is connected to
    return { keeper: kept, labels: new Map() };
  }
  const files = new Map<string, string[]>();
  const anonymous: string[] = [];
  const identities = new Identities();
  const algorithms = new Set<number>();
  for (const { key, authority } of uses) {
    if (key.kind === 'shared') addUse(files, key.file.value, authority);
    if (key.kind === 'shared') for (const id of key.algorithms.value) algorithms.add(id);
    if (key.kind === 'anonymous') anonymous.push(authority);
    if (key.kind === 'identity')
      identities.add(await signers.load(key.identity.value), { authorities: [authority], trust });
  }
  return loadKeys(files, () => roles, output, {
    algorithms: [...algorithms],
    anonymous,
    identities: identities.size === 0 ? undefined : identities,
  });
}

/** Loads each identity once, so that nobody is asked for a passphrase twice. */
class Signers {
  readonly #loaded = new Map<string, Promise<Signer>>();

  load(source: string): Promise<Signer> {
    const signer = this.#loaded.get(source) ?? loadSigner(source);
    this.#loaded.set(source, signer);
    return signer;
  }
}
