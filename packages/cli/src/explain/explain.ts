import { isIP } from 'node:net';
import { nameOf, parseAddress, type Requirement } from '@keymux/client';
import type { KeyInfo, Level } from '@keymux/session';
import { satisfies, stronger } from '@keymux/streams';
import type { Output } from '../output.ts';
import type { HostPlan, ProxyPlan, RoutePlan } from '../route/plan.ts';
import { formatPlace, type Place, peerNameOf } from '../route/target.ts';
import type { Chosen } from '../settings.ts';
import { stateKey } from './keys.ts';
import { HOP_KEY, HOST_KEY, type Passage, stateMessage, stateSight } from './messages.ts';
import { carrierNotes, earlyNote, frontNote, notesOn } from './notes.ts';
import type { Explanation, KeyStatement, SourceStatement, WireStatement } from './schema.ts';
import { stateChosen } from './sources.ts';

/** What an ordinary program sends through a tunnel of `keymux connect`. */
export interface ProgramPlan {
  readonly url: string;
  readonly destination: Place;
  /** It speaks TLS inside. */
  readonly tls: boolean;
  /** The rule of --once by which the proxy's key leaves the payload alone, because it protects itself. */
  readonly once: Chosen<string> | undefined;
}

/** The keys that were negotiated just now. */
export interface Found {
  readonly proxyKey: KeyInfo | undefined;
  readonly hostKey: KeyInfo | undefined;
  /** A front stands before the host (spec chapter 10). */
  readonly fronted: boolean;
}

/** What is the same for all targets. */
export interface Circumstances {
  readonly proxy: ProxyPlan | undefined;
  readonly knownHosts: RoutePlan['knownHosts'];
  /** What --via and the like say of the way. */
  readonly given: readonly Chosen<unknown>[];
  /** The least level of the answer, if one is demanded. */
  readonly level: Chosen<Level | undefined>;
  /** What is required of a host, and by what; `because` names it (spec 9.7, 9.8). */
  readonly requirement: (hostname: string) => Requirement & { readonly source: SourceStatement };
  readonly output: Output;
}

/** Explains the way to a host that speaks keymux. Rejects with KeyError if a key file or a list cannot be used. */
export async function explainHost(
  plan: HostPlan,
  circumstances: Circumstances,
  found: Found | undefined,
): Promise<Explanation> {
  const { target, clear, payloadOutside } = plan;
  const { hostname, place } = target;
  const { proxy, knownHosts, level, output } = circumstances;
  const hop = await stateHopKey(circumstances, found);
  const subject = {
    name: HOST_KEY,
    with: hostname,
    when: clear.value ? 'prompted' : 'always',
    authority: hostname,
    peerName: peerNameOf(target),
    info: found?.hostKey,
  } as const;
  const host = await stateKey(plan.key, subject, knownHosts, output);
  const sealsPayload = hop !== undefined && !payloadOutside;
  const along = (sealedWith: readonly string[]) =>
    alongWires(proxy, sealsPayload ? [HOP_KEY, ...sealedWith] : sealedWith, sealedWith);
  const answer = { what: 'answer', fact: 'answer', detail: `of ${hostname}` } as const;
  const requirement = circumstances.requirement(hostname);
  const sealed = host?.when === 'always' ? host.level : 'none';
  const isSent = satisfies(sealed, requirement.level);
  const required = stronger(level.value ?? sealed, requirement.level);
  const isUsed = (level: Level): boolean => isSent && satisfies(level, required);
  const passages: Passage[] = [
    ...connectPassage(proxy, hop, place),
    {
      ...{ what: 'request', fact: 'request', detail: `for ${target.host}${target.path}` },
      on: along(host?.when === 'always' ? [HOST_KEY] : []),
      used: isSent,
    },
    ...(host?.when === 'prompted'
      ? [
          { ...answer, when: 'prompted' as const, on: along([HOST_KEY]), used: isUsed(host.level) },
          { ...answer, when: 'not prompted' as const, on: along([]), used: isUsed('none') },
        ]
      : [{ ...answer, on: along(host === undefined ? [] : [HOST_KEY]), used: isUsed(sealed) }]),
  ];
  return compose({
    target: target.url,
    ...{ hop, host, passages, circumstances, found },
    hostParty: hostname,
    hidesNegotiation: sealsPayload,
    decidedBy: [clear, level]
      .flatMap(decision)
      .concat(requirement.level === 'none' ? [] : requirement.source),
    openNotes: [
      ...openProxy(proxy, hop),
      ...(host === undefined ? [OPEN_HOST] : []),
      ...(plan.early.value && host?.when === 'always' ? [earlyNote(hostname)] : []),
      ...(isSent ? [] : [`The request is not sent: ${requirement.because} requires ${requirement.level}.`]),
    ],
  });
}

/** Explains the way of a program behind `keymux connect`. Rejects with KeyError if a key file or a list cannot be used. */
export async function explainProgram(
  { url, destination, tls, once }: ProgramPlan,
  circumstances: Circumstances & { readonly proxy: ProxyPlan },
  found: Found | undefined,
): Promise<Explanation> {
  const { proxy } = circumstances;
  const { host } = destination;
  const hop = await stateHopKey(circumstances, found);
  const sealsPayload = hop !== undefined && once === undefined;
  const along = (sealedWith: readonly string[]) =>
    alongWires(proxy, sealsPayload ? [HOP_KEY, ...sealedWith] : sealedWith, sealedWith);
  const inside: Passage[] = tls
    ? [
        { what: 'TLS handshake', fact: 'TLS handshake', detail: serverName(host), on: along([]) },
        { what: 'request, answer', fact: 'payload', detail: 'inside TLS', on: along([TLS]) },
      ]
    : [{ what: 'payload', fact: 'payload', detail: 'as the program sends it', on: along([]) }];
  return compose({
    target: url,
    ...{ hop, circumstances, found },
    host: undefined,
    passages: [...connectPassage(proxy, hop, destination), ...inside],
    hostParty: host,
    hidesNegotiation: false,
    decidedBy: once === undefined ? [] : [stateChosen(once)],
    openNotes: openProxy(proxy, hop),
  });
}

const TLS = 'TLS';

/** What a handshake shows of whom it is for; addresses are not sent. */
function serverName(host: string): string {
  return isIP(host) === 0 ? `server name ${host}` : 'no server name';
}

function compose(parts: {
  readonly target: string;
  readonly hop: KeyStatement | undefined;
  readonly host: KeyStatement | undefined;
  readonly passages: readonly Passage[];
  readonly circumstances: Circumstances;
  readonly found: Found | undefined;
  readonly hostParty: string;
  /** The proxy's key covers the negotiation with the host on wire 1. */
  readonly hidesNegotiation: boolean;
  readonly decidedBy: readonly SourceStatement[];
  /** Why there is no key where there could be one, and what comes of it. */
  readonly openNotes: readonly string[];
}): Explanation {
  const { target, hop, host, passages, circumstances, found, hostParty } = parts;
  const { proxy, given } = circumstances;
  const keys = [hop, host].filter((key) => key !== undefined);
  const hostKeys = host === undefined ? [] : [host];
  const proxyParty = `proxy ${proxy?.address.value}`;
  const seenFirst = [...(hop ? [hop] : []), ...(parts.hidesNegotiation ? [] : hostKeys)];
  const first: WireStatement = {
    ...{ name: 'wire 1', from: 'client', to: proxy ? proxyParty : hostParty },
    sees: stateSight('wire 1', passages, seenFirst),
  };
  const second: WireStatement = {
    ...{ name: 'wire 2', from: proxyParty, to: hostParty },
    sees: stateSight('wire 2', passages, hostKeys),
  };
  const carrier = proxy === undefined ? [] : carrierNotes(parseAddress(proxy.address.value));
  const front = found?.fronted ? [frontNote(hostParty)] : [];
  const explanation = {
    target,
    basis: found === undefined ? ('configuration' as const) : ('connection' as const),
    keys,
    wires: proxy ? [first, second] : [first],
    messages: passages.map((passage) => stateMessage(passage, keys)),
    decidedBy: [...given.flatMap(decision), ...parts.decidedBy],
  };
  return {
    ...explanation,
    notes: [...carrier, ...parts.openNotes, ...notesOn(explanation, hostParty), ...front],
  };
}

const OPEN_HOST =
  'Nothing is sealed for the host: none of --key, --identity and --algorithm anonymous is given.';

function openProxy(proxy: ProxyPlan | undefined, hop: KeyStatement | undefined): string[] {
  if (proxy === undefined || hop !== undefined) return [];
  return [
    'Nothing is sealed for the proxy: none of --proxy-key, --proxy-identity and --proxy-algorithm anonymous is given.',
  ];
}

/** An option that nobody has set decides too, but only those that are given are worth a line. */
function decision(chosen: Chosen<unknown>): SourceStatement[] {
  return chosen.source.from.kind === 'default' ? [] : [stateChosen(chosen)];
}

function stateHopKey(
  { proxy, knownHosts, output }: Circumstances,
  found: Found | undefined,
): Promise<KeyStatement | undefined> {
  if (proxy === undefined) return Promise.resolve(undefined);
  const address = parseAddress(proxy.address.value);
  const subject = {
    name: HOP_KEY,
    with: `the proxy ${proxy.address.value}`,
    when: 'always',
    authority: '',
    peerName: nameOf(address),
    info: found?.proxyKey,
  } as const;
  return stateKey(proxy.key, subject, knownHosts, output);
}

function connectPassage(
  proxy: ProxyPlan | undefined,
  hop: KeyStatement | undefined,
  destination: Place,
): Passage[] {
  if (proxy === undefined) return [];
  const on = [{ wire: 'wire 1' as const, sealedWith: hop ? [HOP_KEY] : [] }];
  return [{ what: 'CONNECT', fact: 'destination', detail: formatPlace(destination), on }];
}

/** Without a proxy there is one wire, and what is sealed end to end is all. */
function alongWires(
  proxy: ProxyPlan | undefined,
  first: readonly string[],
  second: readonly string[],
): Passage['on'] {
  if (proxy === undefined) return [{ wire: 'wire 1', sealedWith: second }];
  return [
    { wire: 'wire 1', sealedWith: first },
    { wire: 'wire 2', sealedWith: second },
  ];
}
