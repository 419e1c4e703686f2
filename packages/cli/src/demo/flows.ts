import type { HopView } from './hop.ts';

/** One flow of the demonstration, and how to judge what came of it. */
export interface Flow {
  readonly id: string;
  readonly title: string;
  /** Arguments of `keymux get`; `{alpha}` and the like are replaced. */
  readonly args: readonly string[];
  /** What must be true; the first reason that is not is shown. */
  readonly expect: (outcome: Outcome) => Readonly<Record<string, boolean>>;
}

export interface Outcome {
  readonly statuses: readonly number[];
  /** Levels of the answers, as the client saw them. */
  readonly answers: readonly string[];
  readonly clientToProxy: HopView;
  readonly proxyToOrigin: HopView;
}

const VIA = ['--via', '{proxy}', '--connect-to', '{origin}'];
const POST = ['--data', '@{password}'];

export const FLOWS: readonly Flow[] = [
  {
    id: 'S1',
    title: 'Secured proxy and secured origin: a key with each, and the proxy a dumb router',
    args: ['keymux://alpha.test/account', ...VIA, ...POST, '--proxy-key', '{proxyKey}', '--key', '{alpha}'],
    expect: ({ statuses, answers, clientToProxy, proxyToOrigin }) => ({
      'the answer came': statuses.every((status) => status === 200),
      'the answer was authenticated': answers.every((level) => level === 'authenticated'),
      'one key with the proxy, another with the origin':
        ids(clientToProxy, 0) === '1' && ids(clientToProxy, 1) === '1' && ids(proxyToOrigin, 0) === '1',
      'the CONNECT was sealed': !clientToProxy.request.heads.some((head) => head.startsWith('CONNECT')),
      'no wiretap saw the secret': !clientToProxy.canaryVisible && !proxyToOrigin.canaryVisible,
    }),
  },
  {
    id: 'S2',
    title: 'Clear request; the origin prompts for a key in mid-session and seals its answer',
    args: ['keymux://alpha.test/login', ...VIA, '--clear', '--key', '{alpha}'],
    expect: ({ statuses, answers, clientToProxy, proxyToOrigin }) => ({
      'the answer came': statuses.every((status) => status === 200),
      'the answer was authenticated': answers.every((level) => level === 'authenticated'),
      'the request was clear': clientToProxy.request.heads.includes('GET alpha.test/login'),
      'the origin started the negotiation, with an even ID': proxyToOrigin.keys.some(
        ({ keyId, startedBy }) => keyId === 2 && startedBy === 'server',
      ),
      'one TCP connection': clientToProxy.connections === 1 && proxyToOrigin.connections === 1,
      'no wiretap saw the secret': !clientToProxy.canaryVisible && !proxyToOrigin.canaryVisible,
    }),
  },
  {
    id: 'S3',
    title: 'Two hosts behind one connection, each with a key of its own (ALG 1; ALG 3 with the proxy)',
    args: [
      'keymux://alpha.test/account',
      'keymux://beta.test/account',
      ...VIA,
      ...POST,
      ...['--proxy-key', '{proxyKey}', '--key', 'alpha.test={alpha}', '--key', 'beta.test={beta}'],
      ...['--algorithm', 'psk'],
    ],
    expect: ({ statuses, answers, clientToProxy, proxyToOrigin }) => ({
      'both answers came': statuses.length === 2 && statuses.every((status) => status === 200),
      'both answers were authenticated': answers.every((level) => level === 'authenticated'),
      'a key for each host': ids(proxyToOrigin, 0) === '1,3',
      'psk with the hosts, psk-x25519 with the proxy': clientToProxy.keys.every(
        ({ algorithm, depth }) => algorithm === (depth === 0 ? 'psk-x25519' : 'psk'),
      ),
      'one TCP connection': clientToProxy.connections === 1 && proxyToOrigin.connections === 1,
      'no wiretap saw the secret': !clientToProxy.canaryVisible && !proxyToOrigin.canaryVisible,
    }),
  },
  {
    id: 'S5',
    title: 'SSH identities prove both sides; each half of the stream has a key of its own',
    args: [
      'keymux://gamma.test/account',
      ...VIA,
      ...POST,
      ...['--proxy-key', '{proxyKey}', '--identity', '{alice}', '--known-hosts', '{knownHosts}'],
    ],
    expect: ({ statuses, answers, clientToProxy, proxyToOrigin }) => ({
      'the answer came': statuses.every((status) => status === 200),
      'the answer was authenticated': answers.every((level) => level === 'authenticated'),
      'client and origin negotiated a key each, with identities':
        proxyToOrigin.keys.map(({ startedBy, algorithm }) => `${startedBy} ${algorithm}`).join() ===
        'client signed,server signed',
      "the request was sealed under the client's key, the answer under the origin's":
        proxyToOrigin.request.sealedUnder.join() === '1' && proxyToOrigin.answer.sealedUnder.join() === '2',
      'no wiretap saw the secret': !clientToProxy.canaryVisible && !proxyToOrigin.canaryVisible,
    }),
  },
  {
    id: 'M3',
    title: 'The same exchange in the clear, for comparison',
    args: ['keymux://alpha.test/account', ...VIA, ...POST, '--clear'],
    expect: ({ statuses, clientToProxy, proxyToOrigin }) => ({
      'the answer came': statuses.every((status) => status === 200),
      'nothing was sealed': clientToProxy.sealedBytes === 0 && proxyToOrigin.sealedBytes === 0,
      'both wiretaps saw the secret': clientToProxy.canaryVisible && proxyToOrigin.canaryVisible,
    }),
  },
];

function ids(hop: HopView, depth: number): string {
  return hop.keys
    .filter((key) => key.depth === depth)
    .map(({ keyId }) => keyId)
    .join(',');
}
