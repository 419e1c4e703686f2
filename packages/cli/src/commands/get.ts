import { readFile } from 'node:fs/promises';
import type { Response } from '@keymux/client';
import type { HeaderList } from '@keymux/frames';
import { ANONYMOUS_LABEL, KnownHostsFile, readOwnedFile, SIGNED_LABEL } from '@keymux/keys';
import { z } from 'zod';
import { type BodyPlace, checkPlace, writeBody } from '../body.ts';
import { flag, list, readSettings } from '../config.ts';
import { ConfigError, fileFault } from '../errors.ts';
import { EXIT, type ExitCode } from '../exit-codes.ts';
import { withFirstContact } from '../first-contact.ts';
import { keyLogFiles } from '../key-log-files.ts';
import { describeLeg, formatLeg, type Leg } from '../leg.ts';
import { type Output, printable } from '../output.ts';
import { loadRoute, openKept } from '../route/keepers.ts';
import { withParty } from '../route/party.ts';
import { type HostPlan, planRoute, ROUTE_OPTIONS, type RoutePlan } from '../route/plan.ts';
import { type Reached, Route } from '../route/route.ts';
import { openSafeguards, SAFEGUARD_OPTIONS } from '../route/safeguards.ts';
import { partyOf, type Target } from '../route/target.ts';

/** What `get` takes; `explain` takes the same. */
export const getSchema = z.object({
  ...ROUTE_OPTIONS,
  ...SAFEGUARD_OPTIONS,
  method: z
    .string()
    .regex(/^[A-Za-z]+$/, 'a method is letters, for example POST')
    .optional(),
  data: z.string().optional(),
  credentials: z.string().optional(),
  level: z.enum(['none', 'passive', 'authenticated']).optional(),
  output: z.string().optional(),
  include: flag,
  keylog: list,
});

type GetConfig = z.output<typeof getSchema>;

/** `keymux get URL...` */
export async function get(argv: Record<string, unknown>, output: Output): Promise<ExitCode> {
  const settings = await readSettings(getSchema, argv);
  const config = settings.values;
  if (config.output !== undefined && config.url.length > 1) {
    throw new ConfigError('--output takes one URL: several would overwrite each other');
  }
  const kept = await openKept(settings, output);
  try {
    return await fetchAll(config, planRoute(settings, kept), output);
  } finally {
    kept?.keeper.close();
  }
}

async function fetchAll(config: GetConfig, plan: RoutePlan, output: Output): Promise<ExitCode> {
  const place = bodyPlace(config, output);
  await checkPlace(place);
  const data = config.data === undefined ? undefined : await readData(config.data);
  const knownHosts = new KnownHostsFile(plan.knownHosts.value);
  const credentials = await readCredentials(config.credentials);
  checkKeyLogNames(config.keylog, plan);
  const keyLog = keyLogFiles(config.keylog, output, plan.proxy?.address.value);
  const route = new Route(plan, await loadRoute(plan, output), keyLog, await openSafeguards(config));
  try {
    let exit: ExitCode = EXIT.OK;
    for (const host of plan.hosts) {
      const reached = await withFirstContact(() => route.to(host), knownHosts, output);
      const response = await request(host.target, reached, config, data, credentials);
      if (config.include && !output.json) printHead(response, output);
      const bytes = await writeBody(response.body, place);
      report(host, response, legsOf(plan, host, reached, response), bytes, output);
      adviseKey(host, response, output);
      if (response.status >= 400) exit = EXIT.FAILURE;
    }
    return exit;
  } finally {
    await route.close();
  }
}

/** A host or proxy that is not asked anything has no key to write down. Throws ConfigError. */
function checkKeyLogNames(wanted: readonly string[], { hosts, proxy }: RoutePlan): void {
  const parties = new Set([
    ...hosts.map(({ target }) => target.hostname),
    proxy?.address.value.toLowerCase(),
  ]);
  for (const [name = ''] of wanted.filter((entry) => entry.includes('=')).map((entry) => entry.split('='))) {
    const isLabel = /^k-|^SHA256:/.test(name) || name === ANONYMOUS_LABEL || name === SIGNED_LABEL;
    if (isLabel || parties.has(name.toLowerCase())) continue;
    throw new ConfigError(
      `--keylog ${name}=…: no URL has the host "${name}", and no proxy is reached by that name`,
    );
  }
}

async function request(
  target: Target,
  { client, key }: Reached,
  { method, level }: GetConfig,
  data: Uint8Array | string | undefined,
  headers: HeaderList,
): Promise<Response> {
  const { host, path } = target;
  return withParty(partyOf(target), () =>
    client.request({
      ...{ host, path, key, headers },
      method: (method ?? (data === undefined ? 'GET' : 'POST')).toUpperCase(),
      ...(data === undefined ? {} : { body: data }),
      ...(level === undefined ? {} : { level }),
    }),
  );
}

/** The header for NAME:PASSWORD in a file, which other users of the machine cannot see as they can see arguments. Rejects with KeyError, ConfigError. */
async function readCredentials(path: string | undefined): Promise<HeaderList> {
  if (path === undefined) return [];
  const rules = {
    what: 'credentials file',
    code: 'ERR_KEYMUX_KEY_FILE',
    most: 4096,
    forbidden: 0o077,
  } as const;
  const line = (await readOwnedFile(path, rules)).toString('utf8').replace(/\r?\n$/, '');
  if (!/^[^:\r\n]+:[^\r\n]*$/.test(line))
    throw new ConfigError(`credentials file "${path}" must hold one line NAME:PASSWORD`);
  return [['authorization', `Basic ${Buffer.from(line).toString('base64')}`]];
}

async function readData(data: string): Promise<Uint8Array | string> {
  if (!data.startsWith('@')) return data;
  const path = data.slice(1);
  return readFile(path).catch((error: unknown) => {
    throw new ConfigError(`--data ${data}: ${fileFault(path, 'read', error)}`);
  });
}

/** With --json standard output is for the document. */
function bodyPlace(config: GetConfig, output: Output): BodyPlace {
  if (config.output !== undefined) return { kind: 'file', path: config.output };
  return { kind: output.json ? 'nowhere' : 'standard output' };
}

function printHead({ status, reason, headers }: Response, output: Output): void {
  const lines = headers.map(([name, value]) => `${name}: ${value}`);
  output.result(printable([`${status} ${reason}`, ...lines, ''].join('\n')));
}

function legsOf(
  { proxy }: RoutePlan,
  { target: { hostname }, payloadOutside }: HostPlan,
  { proxyKey }: Reached,
  { security: { sent, received } }: Response,
): Leg[] {
  const payload = payloadOutside ? 'sealed end to end, not a second time here' : undefined;
  return [
    ...(proxy ? [describeLeg('client', `proxy ${proxy.address.value}`, proxyKey, payload)] : []),
    describeLeg('client', hostname, sent.key),
    describeLeg(hostname, 'client', received.key),
  ];
}

/** Says what may help where a host refuses what came in the clear, or under a key that is not its own. */
function adviseKey(
  { target: { hostname }, key, clear }: HostPlan,
  { status }: Response,
  output: Output,
): void {
  if (status !== 421 && status !== 426) return;
  if (key.kind === 'none')
    output.warn(
      `${hostname} may answer only what is sealed with its key: give --key FILE or --identity FILE`,
    );
  else if (clear.value)
    output.warn(`${hostname} may answer only what is sealed with its key: leave --clear out`);
  else output.warn(`${hostname} may not be served here, or not under this key`);
}

function report(
  { target: { url } }: HostPlan,
  { status, reason, security: { level, received, sent } }: Response,
  legs: readonly Leg[],
  bytes: number,
  output: Output,
): void {
  if (output.json) {
    output.result(
      JSON.stringify({ url, status, bytes, level, answer: received.level, early: sent.early, legs }),
    );
    return;
  }
  process.stderr.write(
    `${status} ${printable(reason)}, ${bytes} bytes, level ${level}${sent.early ? ', sent as early data' : ''}\n${legs.map(formatLeg).join('\n')}\n`,
  );
}
