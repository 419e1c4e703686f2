import { createWriteStream, rmSync } from 'node:fs';
import { readFile, rename, rm } from 'node:fs/promises';
import { PassThrough } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { Client, DEFAULT_PORT, type Response } from '@keymux/client';
import {
  ALGORITHM,
  ANONYMOUS_LABEL,
  Identities,
  type PeerName,
  SIGNED_LABEL,
  type Trust,
} from '@keymux/keys';
import type { KeyInfo } from '@keymux/session';
import { z } from 'zod';
import { algorithms, ConfigError, flag, isAnonymous, list, readConfig } from '../config.ts';
import { EXIT, type ExitCode } from '../exit-codes.ts';
import { withFirstContact } from '../first-contact.ts';
import { knownHostsFile, loadSigner } from '../identities.ts';
import { addUse, type LoadedKeys, loadKeys } from '../keys.ts';
import { describeLeg, formatLeg, type Leg } from '../leg.ts';
import { type Output, printable } from '../output.ts';

const schema = z.object({
  url: list,
  via: z.string().optional(),
  proxyKey: z.string().optional(),
  key: list,
  identity: z.string().optional(),
  proxyIdentity: z.string().optional(),
  knownHosts: z.string().optional(),
  clear: flag,
  algorithm: algorithms,
  proxyAlgorithm: algorithms,
  connectTo: z.string().optional(),
  method: z
    .string()
    .regex(/^[A-Za-z]+$/, 'a method is letters, for example POST')
    .optional(),
  data: z.string().optional(),
  level: z.enum(['none', 'passive', 'authenticated']).optional(),
  output: z.string().optional(),
  include: flag,
});

type GetConfig = z.output<typeof schema>;

/** What a URL asks for, and where to connect for it. */
interface Target {
  readonly url: string;
  /** As it goes into `:host`. */
  readonly host: string;
  readonly hostname: string;
  readonly port: number;
  readonly path: string;
  readonly connectHost: string;
  readonly connectPort: number;
}

/** `keymux get URL...` */
export async function get(argv: Record<string, unknown>, output: Output): Promise<ExitCode> {
  const config = await readConfig(schema, argv);
  if (config.output !== undefined && config.url.length > 1) {
    throw new ConfigError('--output takes one URL: several would overwrite each other');
  }
  if (isAnonymous(config.algorithm) && config.key.length > 0)
    throw new ConfigError('--algorithm anonymous takes no --key: it proves nobody');
  if (isAnonymous(config.proxyAlgorithm) && config.proxyKey !== undefined)
    throw new ConfigError('--proxy-algorithm anonymous takes no --proxy-key: it proves nobody');
  if (config.identity !== undefined && isAnonymous(config.algorithm))
    throw new ConfigError('--algorithm anonymous takes no --identity: it proves nobody');
  if (
    config.proxyIdentity !== undefined &&
    (config.proxyKey !== undefined || isAnonymous(config.proxyAlgorithm))
  )
    throw new ConfigError('--proxy-identity goes with neither --proxy-key nor --proxy-algorithm anonymous');
  const targets = config.url.map((url) => parseTarget(url, config.connectTo));
  if (config.proxyKey !== undefined && config.via === undefined) {
    throw new ConfigError('--proxy-key is for a proxy: name it with --via');
  }
  if (config.proxyIdentity !== undefined && config.via === undefined) {
    throw new ConfigError('--proxy-identity is for a proxy: name it with --via');
  }
  const files = keyFiles(config, targets);
  const uses = new Map<string, string[]>();
  for (const [hostname, file] of files) addUse(uses, file, hostname);
  if (config.proxyKey !== undefined) addUse(uses, config.proxyKey, '');
  const knownHosts = knownHostsFile(config.knownHosts);
  const identities = await identitiesFor(config, targets, files, { knownHosts });
  const keys = await loadKeys(uses, ['initiator', 'responder'], output, {
    algorithms: [...config.algorithm, ...config.proxyAlgorithm],
    anonymous: [
      ...(isAnonymous(config.algorithm) ? targets.map(({ hostname }) => hostname) : []),
      ...(isAnonymous(config.proxyAlgorithm) ? [''] : []),
    ],
    identities,
  });
  const route = new Route(config, files, keys);
  try {
    let exit: ExitCode = EXIT.OK;
    for (const target of targets) {
      const { client, key, legs } = await withFirstContact(() => route.to(target), knownHosts, output);
      const response = await client.request({
        host: target.host,
        path: target.path,
        method: (config.method ?? (config.data === undefined ? 'GET' : 'POST')).toUpperCase(),
        ...(config.data === undefined ? {} : { body: await readData(config.data) }),
        ...(config.level === undefined ? {} : { level: config.level }),
        key,
      });
      const { sent, received } = response.security;
      const ends = [
        describeLeg('client', target.hostname, sent.key),
        describeLeg(target.hostname, 'client', received.key),
      ];
      const bytes = await writeBody(response, config, output);
      report(target, response, [...legs, ...ends], bytes, output);
      if (response.status >= 400) exit = EXIT.FAILURE;
    }
    return exit;
  } finally {
    await route.close();
  }
}

/** Sessions to the hosts of the URLs: one connection, one tunnel for each place to connect to, one key for each host. */
class Route {
  readonly #config: GetConfig;
  readonly #files: ReadonlyMap<string, string>;
  readonly #keys: LoadedKeys;
  #outer: { client: Client; key: KeyInfo | undefined } | undefined;
  readonly #clients = new Map<string, { client: Client; legs: readonly Leg[] }>();
  readonly #hostKeys = new Map<string, KeyInfo>();

  constructor(config: GetConfig, files: ReadonlyMap<string, string>, keys: LoadedKeys) {
    this.#config = config;
    this.#files = files;
    this.#keys = keys;
  }

  async to(target: Target): Promise<{ client: Client; key: KeyInfo | undefined; legs: readonly Leg[] }> {
    const place = `${bracket(target.connectHost)}:${target.connectPort}`;
    let known = this.#clients.get(place);
    if (known === undefined || !known.client.session.takesStreams) {
      this.#hostKeys.clear(); // what was negotiated in a session ends with it
      known = await this.#open(target, place);
      this.#clients.set(place, known);
    }
    return { ...known, key: await this.#hostKey(known.client, target, place) };
  }

  async close(): Promise<void> {
    for (const { client } of this.#clients.values()) await client.close();
    await this.#outer?.client.close();
  }

  async #open(target: Target, place: string): Promise<{ client: Client; legs: readonly Leg[] }> {
    const { via } = this.#config;
    const { keeper } = this.#keys;
    const peerName = nameOf(target);
    if (via === undefined) return { client: await Client.connect(place, { keeper, peerName }), legs: [] };
    if (this.#outer === undefined || !this.#outer.client.session.takesStreams)
      this.#outer = await this.#openOuter(via);
    const { client, key } = this.#outer;
    // Only where everything inside is sealed may the proxy's key leave the payload alone.
    const selfProtected = key !== undefined && !this.#config.clear && this.#hostLabel(target) !== undefined;
    const { connectHost, connectPort } = target;
    const inner = await client.through(connectHost, connectPort, { key, selfProtected }, { peerName });
    const payload = selfProtected ? 'sealed end to end, not a second time here' : undefined;
    return { client: inner, legs: [describeLeg('client', `proxy ${via}`, key, payload)] };
  }

  async #openOuter(via: string): Promise<{ client: Client; key: KeyInfo | undefined }> {
    const { proxyKey, proxyIdentity, proxyAlgorithm } = this.#config;
    const algorithm = proxyIdentity === undefined ? proxyAlgorithm : [ALGORITHM.SIGNED];
    const client = await Client.connect(via, { keeper: this.#keys.keeper });
    const label =
      proxyIdentity !== undefined
        ? SIGNED_LABEL
        : isAnonymous(algorithm)
          ? ANONYMOUS_LABEL
          : this.#keys.labels.get(proxyKey ?? '');
    if (label === undefined) return { client, key: undefined };
    const key = await orDestroy(client, client.negotiate({ algorithm, label }));
    return { client, key };
  }

  async #hostKey(client: Client, target: Target, place: string): Promise<KeyInfo | undefined> {
    const label = this.#hostLabel(target);
    if (label === undefined || this.#config.clear) return undefined;
    const name = `${target.hostname}:${target.port} ${place}`;
    const known = this.#hostKeys.get(name);
    if (known !== undefined) return known;
    const algorithm = label === SIGNED_LABEL ? [ALGORITHM.SIGNED] : this.#config.algorithm;
    const request = { algorithm, label, authority: target.hostname, peerName: nameOf(target) };
    const key = await client.negotiate(request);
    this.#hostKeys.set(name, key);
    return key;
  }

  #hostLabel({ hostname }: Target): string | undefined {
    if (isAnonymous(this.#config.algorithm)) return ANONYMOUS_LABEL;
    const shared = this.#keys.labels.get(this.#files.get(hostname) ?? '');
    return shared ?? (this.#config.identity === undefined ? undefined : SIGNED_LABEL);
  }
}

/** Who to be towards the hosts without a key file, and towards the proxy. */
async function identitiesFor(
  { identity, proxyIdentity }: GetConfig,
  targets: readonly Target[],
  files: ReadonlyMap<string, string>,
  trust: Trust,
): Promise<Identities | undefined> {
  const keyless = [...new Set(targets.map(({ hostname }) => hostname))].filter((name) => !files.has(name));
  const identities = new Identities();
  const signer = identity === undefined ? undefined : await loadSigner(identity);
  if (signer !== undefined && keyless.length > 0) identities.add(signer, { authorities: keyless, trust });
  if (proxyIdentity !== undefined) {
    // The same one does not ask for its passphrase twice.
    const forProxy = proxyIdentity === identity ? signer : undefined;
    identities.add(forProxy ?? (await loadSigner(proxyIdentity)), { authorities: [''], trust });
  }
  return identities.size === 0 ? undefined : identities;
}

/** The host as the user typed it, wherever the connection goes. */
function nameOf({ hostname, port }: Target): PeerName {
  return { host: hostname.replace(/^\[|\]$/g, ''), port };
}

function parseTarget(text: string, connectTo: string | undefined): Target {
  const url = URL.canParse(text) ? new URL(text) : undefined;
  if (url === undefined || !['keymux:', 'http:'].includes(url.protocol) || url.hostname === '') {
    throw new ConfigError(`"${text}" is no URL to get: write keymux://HOST[:PORT]/PATH`);
  }
  const to = connectTo === undefined ? undefined : /^(\[[^\]]+\]|[^:]+):([0-9]+)$/.exec(connectTo);
  if (to === null) throw new ConfigError(`--connect-to is "${connectTo}"; write HOST:PORT`);
  const hostname = url.hostname.toLowerCase();
  const port = Number(url.port || (url.protocol === 'http:' ? 80 : DEFAULT_PORT));
  return {
    url: text,
    hostname,
    port,
    host: url.port === '' ? hostname : `${hostname}:${port}`,
    path: (url.pathname || '/') + url.search,
    connectHost: (to?.[1] ?? hostname).replace(/^\[|\]$/g, ''),
    connectPort: Number(to?.[2] ?? port),
  };
}

/** The key file of each host: `NAME=FILE` for one, `FILE` for those that are not named. */
function keyFiles(config: GetConfig, targets: readonly Target[]): Map<string, string> {
  const files = new Map<string, string>();
  const named = config.key.filter((entry) => entry.includes('='));
  for (const entry of named)
    files.set(entry.slice(0, entry.indexOf('=')).toLowerCase(), entry.slice(entry.indexOf('=') + 1));
  const [common, ...more] = config.key.filter((entry) => !entry.includes('='));
  if (more.length > 0)
    throw new ConfigError('several --key FILE: write --key NAME=FILE to say which host each is for');
  const hosts = new Set(targets.map(({ hostname }) => hostname));
  for (const name of files.keys()) {
    if (!hosts.has(name))
      throw new ConfigError(
        `--key ${name}=…: no URL has the host "${name}", so its request would travel in the clear`,
      );
  }
  if (common !== undefined)
    for (const { hostname } of targets) if (!files.has(hostname)) files.set(hostname, common);
  return files;
}

/** A session whose negotiation failed is of no use, and would keep the process alive. */
async function orDestroy<T>(client: Client, promise: Promise<T>): Promise<T> {
  try {
    return await promise;
  } catch (error) {
    client.session.destroy();
    throw error;
  }
}

async function readData(data: string): Promise<Uint8Array | string> {
  return data.startsWith('@') ? readFile(data.slice(1)) : data;
}

function bracket(host: string): string {
  return host.includes(':') ? `[${host}]` : host;
}

/** Writes the body to its place; a file appears only when it is complete. Returns its size in bytes. */
async function writeBody(response: Response, config: GetConfig, output: Output): Promise<number> {
  let bytes = 0;
  const counter = new PassThrough();
  counter.on('data', (chunk: Buffer) => {
    bytes += chunk.length;
  });
  if (config.include && !output.json) {
    const lines = response.headers.map(([name, value]) => `${name}: ${value}`);
    output.result(printable([`${response.status} ${response.reason}`, ...lines, ''].join('\n')));
  }
  if (config.output !== undefined) {
    const partial = `${config.output}.part`;
    const file = createWriteStream(partial, { flags: 'wx' });
    const keep = new AbortController();
    file.once('open', () => dropOnSignal(partial, keep.signal));
    try {
      await pipeline(response.body, counter, file);
      await rename(partial, config.output);
    } catch (error) {
      if ((error as { code?: string }).code !== 'EEXIST') await rm(partial, { force: true });
      throw error;
    } finally {
      keep.abort();
    }
  } else if (output.json) {
    await pipeline(response.body, counter, async (source: AsyncIterable<Buffer>) => {
      for await (const _ of source); // counted, not shown: standard output is for the document
    });
  } else {
    await pipeline(response.body, counter, process.stdout, { end: false });
  }
  return bytes;
}

/** Removes a file if a signal ends the process, until `keep` is aborted. */
function dropOnSignal(file: string, keep: AbortSignal): void {
  for (const signal of ['SIGINT', 'SIGTERM'] as const) {
    const drop = (): void => {
      rmSync(file, { force: true });
      process.kill(process.pid, signal); // nobody listens any more, so it ends the process
    };
    process.once(signal, drop);
    keep.addEventListener('abort', () => process.off(signal, drop));
  }
}

function report(
  target: Target,
  response: Response,
  legs: readonly Leg[],
  bytes: number,
  output: Output,
): void {
  const { status, reason, security } = response;
  if (output.json) {
    const { level, received } = security;
    output.result(JSON.stringify({ url: target.url, status, bytes, level, answer: received.level, legs }));
    return;
  }
  process.stderr.write(
    `${status} ${printable(reason)}, ${bytes} bytes, level ${security.level}\n${legs.map(formatLeg).join('\n')}\n`,
  );
}
