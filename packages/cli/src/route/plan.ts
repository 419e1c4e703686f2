import type { RemoteKeeper } from '@keymux/keeper';
import { ALGORITHM } from '@keymux/keys';
import { z } from 'zod';
import { algorithms, flag, isAnonymous, list } from '../config.ts';
import { ConfigError } from '../errors.ts';
import { knownHostsPath } from '../identities.ts';
import { KEEPER_OPTIONS } from '../server-keeper.ts';
import type { Chosen, Settings } from '../settings.ts';
import { parseTarget, type Target } from './target.ts';

/** The options that decide how hosts are reached. */
export const ROUTE_OPTIONS = {
  url: list,
  via: z.string().optional(),
  proxyKey: z.string().optional(),
  key: list,
  identity: z.string().optional(),
  proxyIdentity: z.string().optional(),
  ...KEEPER_OPTIONS,
  clear: flag,
  algorithm: algorithms,
  proxyAlgorithm: algorithms,
  connectTo: z.string().optional(),
  early: flag,
};

export type RouteOptions = z.output<z.ZodObject<typeof ROUTE_OPTIONS>>;

/** What the key with a party is made from, and what decided so. */
export type KeyPlan =
  | { readonly kind: 'none' }
  | {
      readonly kind: 'shared';
      readonly file: Chosen<string>;
      /** ALG_IDs in the order of preference. */
      readonly algorithms: Chosen<readonly number[]>;
    }
  /** A file, or `agent`. */
  | { readonly kind: 'identity'; readonly identity: Chosen<string> }
  | { readonly kind: 'anonymous'; readonly algorithms: Chosen<readonly number[]> }
  /** What a keeper has for the party, which is looked up each time: it can come to have something else. */
  | ({ readonly kind: 'kept'; readonly algorithms: Chosen<readonly number[]> } & KeptBy);

/** The keeper that --keeper names. */
export interface KeptBy {
  readonly keeper: RemoteKeeper;
  readonly place: Chosen<string>;
}

/** The proxy, and how it is reached. */
export interface ProxyPlan {
  readonly address: Chosen<string>;
  readonly key: KeyPlan;
}

/** One URL, and how its host is reached. */
export interface HostPlan {
  readonly target: Target;
  readonly key: KeyPlan;
  /** Asked in the clear: a key is only for what the host prompts for. */
  readonly clear: Chosen<boolean>;
  /** The request goes with the first message of the negotiation, if its method allows that (spec 3.7). */
  readonly early: Chosen<boolean>;
  /** Whether the proxy's key leaves the payload of the tunnel alone, because everything inside is sealed (spec 4.6). */
  readonly payloadOutside: boolean;
}

/** What the options say of the way to each URL. It is made without connecting. */
export interface RoutePlan {
  readonly proxy: ProxyPlan | undefined;
  readonly hosts: readonly HostPlan[];
  /** Path of the file. */
  readonly knownHosts: Chosen<string>;
}

/** Throws ConfigError where options contradict each other. */
export function planRoute(
  settings: Settings<RouteOptions>,
  kept: KeptBy | undefined,
  urls = settings.values.url,
): RoutePlan {
  const proxy = planHop(settings, kept);
  const targets = urls.map((text) => parseTarget(text, settings.values.connectTo));
  const files = keyFiles(settings.chosen('key'), targets);
  const [clear, early] = [settings.chosen('clear'), settings.chosen('early')];
  const hosts = targets.map((target): HostPlan => {
    const key = planHostKey(files.get(target.hostname), settings, kept);
    // Only where everything inside is sealed may the proxy's key leave the payload alone.
    const hopIsSealed = proxy !== undefined && proxy.key.kind !== 'none';
    return { target, key, clear, early, payloadOutside: hopIsSealed && !clear.value && key.kind !== 'none' };
  });
  return { proxy, hosts, knownHosts: planKnownHosts(settings.chosen('knownHosts')) };
}

/** The proxy of a route; undefined without one. Throws ConfigError where options contradict each other. */
function planHop(settings: Settings<RouteOptions>, kept: KeptBy | undefined): ProxyPlan | undefined {
  checkOptions(settings);
  const via = settings.chosen('via');
  if (!isGiven(via)) return undefined;
  return planProxy({
    address: via,
    key: settings.chosen('proxyKey'),
    identity: settings.chosen('proxyIdentity'),
    algorithms: settings.chosen('proxyAlgorithm'),
    kept,
  });
}

/** How a proxy is reached by the options of a command; what contradicts each other is the command's to refuse. */
export function planProxy(options: {
  readonly address: Chosen<string>;
  readonly key: Chosen<string | undefined>;
  readonly identity: Chosen<string | undefined>;
  readonly algorithms: Chosen<readonly number[]>;
  readonly kept: KeptBy | undefined;
}): ProxyPlan {
  const { address, key: file, identity, algorithms, kept } = options;
  if (kept !== undefined) return { address, key: { kind: 'kept', algorithms, ...kept } };
  if (isGiven(identity)) return { address, key: { kind: 'identity', identity } };
  if (isAnonymous(algorithms.value)) return { address, key: { kind: 'anonymous', algorithms } };
  return { address, key: isGiven(file) ? { kind: 'shared', file, algorithms } : { kind: 'none' } };
}

export function planKnownHosts({ value, source }: Chosen<string | undefined>): Chosen<string> {
  return { value: value ?? knownHostsPath(), source };
}

function planHostKey(
  file: Chosen<string> | undefined,
  settings: Settings<RouteOptions>,
  kept: KeptBy | undefined,
): KeyPlan {
  const algorithms = settings.chosen('algorithm');
  if (kept !== undefined) return { kind: 'kept', algorithms, ...kept };
  if (isAnonymous(algorithms.value)) return { kind: 'anonymous', algorithms };
  if (file !== undefined) return { kind: 'shared', file, algorithms };
  const identity = settings.chosen('identity');
  return isGiven(identity) ? { kind: 'identity', identity } : { kind: 'none' };
}

function checkOptions(settings: Settings<RouteOptions>): void {
  const options = settings.values;
  const { algorithm, proxyAlgorithm, identity, proxyIdentity, proxyKey, via, keeper } = options;
  if (options.early && (options.clear || !algorithm.includes(ALGORITHM.PSK)))
    throw new ConfigError(
      '--early needs --algorithm psk, whose first message can carry a request, and no --clear',
    );
  if (isAnonymous(algorithm) && options.key.length > 0)
    throw new ConfigError('--algorithm anonymous takes no --key: it proves nobody');
  if (isAnonymous(proxyAlgorithm) && proxyKey !== undefined)
    throw new ConfigError('--proxy-algorithm anonymous takes no --proxy-key: it proves nobody');
  if (identity !== undefined && isAnonymous(algorithm))
    throw new ConfigError('--algorithm anonymous takes no --identity: it proves nobody');
  if (proxyIdentity !== undefined && (proxyKey !== undefined || isAnonymous(proxyAlgorithm)))
    throw new ConfigError('--proxy-identity goes with neither --proxy-key nor --proxy-algorithm anonymous');
  if (proxyKey !== undefined && via === undefined)
    throw new ConfigError('--proxy-key is for a proxy: name it with --via');
  if (proxyIdentity !== undefined && via === undefined)
    throw new ConfigError('--proxy-identity is for a proxy: name it with --via');
  if (isAnonymous(proxyAlgorithm) && via === undefined)
    throw new ConfigError('--proxy-algorithm anonymous is for a proxy: name it with --via');
  if (keeper === undefined) {
    if (options.key.length === 0 && identity === undefined)
      refuseForNothing(settings.chosen('algorithm'), '');
    if (proxyKey === undefined && proxyIdentity === undefined)
      refuseForNothing(settings.chosen('proxyAlgorithm'), 'proxy-');
  }
}

/** Who writes how to negotiate does not expect that nothing is. In the environment or a file it may be for other commands. */
function refuseForNothing(
  { value, source: { from } }: Chosen<readonly number[]>,
  party: '' | 'proxy-',
): void {
  if (from.kind !== 'command line' || isAnonymous(value)) return;
  throw new ConfigError(
    `--${party}algorithm says how to negotiate a key, but there is none: give --${party}key FILE or --${party}identity FILE`,
  );
}

/** The key file of each host: `NAME=FILE` for one, `FILE` for those that are not named. */
function keyFiles(
  { value: entries, source }: Chosen<readonly string[]>,
  targets: readonly Target[],
): Map<string, Chosen<string>> {
  const files = new Map<string, Chosen<string>>();
  const common: Chosen<string>[] = [];
  for (const [index, entry] of entries.entries()) {
    const at = entry.indexOf('=');
    const file = { value: entry.slice(at + 1), source: { ...source, index } };
    if (at < 0) common.push(file);
    else files.set(entry.slice(0, at).toLowerCase(), file);
  }
  if (common.length > 1)
    throw new ConfigError('several --key FILE: write --key NAME=FILE to say which host each is for');
  const hosts = new Set(targets.map(({ hostname }) => hostname));
  for (const name of files.keys()) {
    if (!hosts.has(name))
      throw new ConfigError(
        `--key ${name}=…: no URL has the host "${name}", so its request would travel in the clear`,
      );
  }
  const [file] = common;
  if (file !== undefined) for (const name of hosts) if (!files.has(name)) files.set(name, file);
  return files;
}

function isGiven<T>(chosen: Chosen<T | undefined>): chosen is Chosen<T> {
  return chosen.value !== undefined;
}
