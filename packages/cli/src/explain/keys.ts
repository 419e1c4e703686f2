import {
  ALGORITHM,
  ANONYMOUS_LABEL,
  algorithmName,
  describeIdentity,
  fingerprint,
  formatPublicKey,
  hostName,
  KnownHostsFile,
  type PeerName,
  readKeyFile,
  SIGNED_LABEL,
} from '@keymux/keys';
import type { KeyInfo } from '@keymux/session';
import { showIdentity } from '../identities.ts';
import type { Output } from '../output.ts';
import { requestKept } from '../route/keepers.ts';
import type { KeyPlan, RoutePlan } from '../route/plan.ts';
import type { KeyStatement } from './schema.ts';
import { stateSource } from './sources.ts';

/** Which key is described, and for whom it is. */
export interface KeySubject {
  readonly name: string;
  readonly with: string;
  readonly when: KeyStatement['when'];
  /** The host that it is to speak for; empty for the proxy. */
  readonly authority: string;
  /** The name that the other side is known by; a Unix socket has none. */
  readonly peerName: PeerName | undefined;
  /** What was negotiated, if it was. */
  readonly info: KeyInfo | undefined;
}

/**
 * What is to be said of the key with one party; undefined if there is none. Key files and lists are read, no passphrase is asked for. Rejects with
 * KeyError if one of them cannot be used, or with ConfigError if the keeper has no key for the party.
 */
export async function stateKey(
  plan: KeyPlan,
  subject: KeySubject,
  knownHosts: RoutePlan['knownHosts'],
  output: Output,
): Promise<KeyStatement | undefined> {
  const { info, name, with: party, when, authority } = subject;
  const common = { name, with: party, when, authority };
  switch (plan.kind) {
    case 'none':
      return undefined;
    case 'shared': {
      const { key, warnings } = await readKeyFile(plan.file.value);
      for (const warning of warnings) output.warn(warning);
      return {
        ...common,
        ...algorithmsOf(plan.algorithms.value, info),
        ...{ level: 'authenticated', proves: 'shared key', label: key.label },
        decidedBy: [
          stateSource(plan.file.source, plan.file.value),
          stateSource(plan.algorithms.source, plan.algorithms.value.map(algorithmName).join()),
        ],
      };
    }
    case 'identity': {
      const { identity, comment } = await showIdentity(plan.identity.value);
      return {
        ...common,
        ...algorithmsOf([ALGORITHM.SIGNED], info),
        ...{ level: 'authenticated', proves: 'identity', label: SIGNED_LABEL },
        own: { identity: describeIdentity(identity, comment), line: formatPublicKey(identity) },
        ...(subject.peerName && { knownAs: hostName(subject.peerName) }),
        known: await knownLines(knownHosts.value, subject),
        decidedBy: [
          stateSource(plan.identity.source, plan.identity.value),
          stateSource(knownHosts.source, knownHosts.value),
        ],
      };
    }
    case 'anonymous':
      return {
        ...common,
        ...algorithmsOf([ALGORITHM.ANONYMOUS], info),
        ...{ level: 'passive', proves: 'nobody', label: ANONYMOUS_LABEL },
        decidedBy: [stateSource(plan.algorithms.source, algorithmName(ALGORITHM.ANONYMOUS))],
      };
    case 'kept': {
      const { algorithm, label, proves } = requestKept(plan, authority);
      return {
        ...common,
        ...algorithmsOf(algorithm, info),
        ...PROVEN_BY[proves],
        ...{ label, keeper: plan.place.value },
        decidedBy: [
          stateSource(plan.place.source, plan.place.value),
          stateSource(plan.algorithms.source, plan.algorithms.value.map(algorithmName).join()),
        ],
      };
    }
  }
}

const PROVEN_BY = {
  key: { level: 'authenticated', proves: 'shared key' },
  identity: { level: 'authenticated', proves: 'identity' },
  nobody: { level: 'passive', proves: 'nobody' },
} as const;

/** What may be negotiated, or what was. */
function algorithmsOf(ids: readonly number[], info: KeyInfo | undefined) {
  if (info === undefined)
    return {
      algorithms: ids.map(algorithmName),
      forwardSecrecy: !ids.includes(ALGORITHM.PSK),
    };
  const { keyId: id, peer, forwardSecrecy } = info;
  const algorithm = algorithmName(info.algorithm);
  return { algorithms: [algorithm], forwardSecrecy, negotiated: { id, algorithm, peer } };
}

/** The lines that decide who the other side may be; if it has proved who it is, those with its identity. */
async function knownLines(path: string, { peerName, info }: KeySubject): Promise<KeyStatement['known']> {
  if (peerName === undefined) return [];
  const entries = (await new KnownHostsFile(path).load()).about(peerName);
  return entries
    .map(({ line, revoked, identity }) => ({ path, line, fingerprint: fingerprint(identity), revoked }))
    .filter((entry) => info === undefined || info.peer.includes(entry.fingerprint));
}
