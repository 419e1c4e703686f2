import { KnownHostsFile } from '@keymux/keys';
import { DestinationPolicy } from '@keymux/proxy';
import type { z } from 'zod';
import { flag, list, readSettings } from '../config.ts';
import { ConfigError } from '../errors.ts';
import { type Circumstances, explainHost, explainProgram, type Found } from '../explain/explain.ts';
import { requirementBy } from '../explain/requirement.ts';
import type { Explanation } from '../explain/schema.ts';
import { drawExplanation } from '../explain/screen.ts';
import { withFirstContact } from '../first-contact.ts';
import type { Output } from '../output.ts';
import { loadRoute, openKept } from '../route/keepers.ts';
import { type HostPlan, planRoute, type RoutePlan } from '../route/plan.ts';
import { type Hop, Route } from '../route/route.ts';
import { openSafeguards } from '../route/safeguards.ts';
import { type Destination, type Place, parseDestination } from '../route/target.ts';
import type { Chosen, Settings } from '../settings.ts';
import { getSchema } from './get.ts';

const schema = getSchema.extend({ once: list, connect: flag });

/** `keymux explain TARGET...` */
export async function explain(argv: Record<string, unknown>, output: Output): Promise<void> {
  const settings = await readSettings(schema, argv);
  const { url: targets, key, identity } = settings.values;
  const urls = targets.filter((target) => parseDestination(target) === undefined);
  if (urls.length === 0 && (key.length > 0 || identity !== undefined))
    throw new ConfigError(
      '--key and --identity are for hosts that speak keymux (keymux://…); for the proxy write --proxy-key or --proxy-identity',
    );
  const kept = await openKept(settings, output);
  try {
    await explainAll(settings, planRoute(settings, kept, urls), output);
  } finally {
    kept?.keeper.close();
  }
}

async function explainAll(
  settings: Settings<z.output<typeof schema>>,
  plan: RoutePlan,
  output: Output,
): Promise<void> {
  const { url: targets, connect } = settings.values;
  const safeguards = await openSafeguards(settings.values);
  const circumstances: Circumstances = {
    ...{ proxy: plan.proxy, knownHosts: plan.knownHosts, output },
    given: [settings.chosen('via'), settings.chosen('connectTo')],
    level: settings.chosen('level'),
    requirement: requirementBy(safeguards, {
      require: settings.chosen('require'),
      hostMemory: settings.chosen('hostMemory'),
      credentials: settings.chosen('credentials'),
    }),
  };
  const knownHosts = new KnownHostsFile(plan.knownHosts.value);
  const route = connect ? new Route(plan, await loadRoute(plan, output)) : undefined;
  const look = <T>(open: () => Promise<T>): Promise<T> => withFirstContact(open, knownHosts, output);
  try {
    for (const target of targets) {
      const host = plan.hosts.find(({ target: { url } }) => url === target);
      const explanation =
        host === undefined
          ? await explainDestination(
              parseDestination(target) as Destination,
              circumstances,
              settings.chosen('once'),
              route && ((...tunnel) => look(() => tryTunnel(route, ...tunnel))),
            )
          : await explainHost(host, circumstances, route && (await look(() => tryHost(route, host))));
      output.result(output.json ? JSON.stringify(explanation) : drawExplanation(explanation));
    }
  } finally {
    await route?.close();
  }
}

async function explainDestination(
  { text: url, place, tls }: Destination,
  circumstances: Circumstances,
  rules: Chosen<readonly string[]>,
  look: ((place: Place, selfProtected: boolean) => Promise<Found>) | undefined,
): Promise<Explanation> {
  const { proxy } = circumstances;
  if (proxy === undefined)
    throw new ConfigError(`"${url}" is for programs behind keymux connect: name its proxy with --via`);
  const { host, port } = place;
  const index = rules.value.findIndex((rule) => new DestinationPolicy([rule]).names(host, port));
  const rule = rules.value[index];
  const once = rule === undefined ? undefined : { value: rule, source: { ...rules.source, index } };
  const found = await look?.(place, once !== undefined);
  return explainProgram({ url, destination: place, tls, once }, { ...circumstances, proxy }, found);
}

/** Negotiates what the plan promises, and sends no request. */
async function tryHost(route: Route, host: HostPlan): Promise<Found> {
  const { client, proxyKey, key: hostKey } = await route.to(host);
  return { proxyKey, hostKey, fronted: client.session.fronted };
}

/** Opens the tunnel that a program would get, and sends nothing through it. */
async function tryTunnel(route: Route, { host, port }: Place, selfProtected: boolean): Promise<Found> {
  const { client, key } = (await route.hop()) as Hop;
  const tunnel = await client.tunnel(host, port, { key, selfProtected });
  tunnel.destroy();
  return { proxyKey: key, hostKey: undefined, fronted: false };
}
