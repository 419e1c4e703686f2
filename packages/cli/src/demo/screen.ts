import type { EndLines, FlowResult } from '../commands/demo.ts';
import { shade } from '../output.ts';
import type { Heard, HopView, SeenKey } from './hop.ts';
import { drawTable, type Line, type Row } from './table.ts';

export const INTRODUCTION = `Client, proxy and origin are separate processes. A wiretap on each wire records
every byte:

    client  ---- wire 1 ----  proxy  ---- wire 2 ----  origin

The client sends a password, the origin a secret. Below each wire stands what
its wiretap got.
`;

/** Shows a flow as four columns: what was said at the ends, and what each wiretap got of it. */
export function drawFlow(result: FlowResult): string {
  const { clientToProxy, proxyToOrigin } = result.hops;
  const rows: Row[] = [
    heading(['CLIENT', 'WIRE 1', 'WIRE 2', 'ORIGIN']),
    row(
      'request',
      result.client.request,
      clientToProxy.request,
      proxyToOrigin.request,
      result.origin.request,
    ),
    row('answer', result.client.answer, clientToProxy.answer, proxyToOrigin.answer, result.origin.answer),
    wires('keys', (hop) => (hop.keys.length === 0 ? [{ text: 'none' }] : hop.keys.map(describeKey))),
    wires('bytes', describeBytes),
    wires('secrets', (hop) => [verdict(hop)]),
  ];
  function wires(label: string, show: (hop: HopView) => Line[]): Row {
    return { label, cells: [[], show(clientToProxy), show(proxyToOrigin), []] };
  }
  return [
    shade('bold', `${result.id}  ${result.title}`),
    '',
    drawTable(rows, 4),
    '',
    ...(result.ok ? conclude(result) : failures(result)).map((line) => `   => ${line}`),
    '',
  ].join('\n');
}

/** One line a flow, and whether all came as promised. */
export function drawSummary(flows: readonly FlowResult[], seconds: number): string {
  const rows = flows.map(({ id, ok, hops: { clientToProxy, proxyToOrigin } }) => ({
    label: id,
    cells: [
      [verdict(clientToProxy)],
      [verdict(proxyToOrigin)],
      [{ text: algorithms(clientToProxy) }],
      [ok ? good('as promised') : bad('NOT AS PROMISED')],
    ],
  }));
  const kept = flows.filter(({ ok }) => ok).length;
  return [
    drawTable([heading(['WIRE 1', 'WIRE 2', 'ALGORITHMS', '']), ...rows], 4),
    '',
    'Whatever is sealed, a wiretap gets who talks to whom, when, how much, and the',
    'host that a key is for.',
    `${kept} of ${flows.length} flows as promised, in ${seconds.toFixed(1)} seconds.`,
    'Live, and what intruders get: keymux demo wiretap',
  ].join('\n');
}

function heading(titles: readonly string[]): Row {
  return { label: '', cells: titles.map((text) => [{ text, style: 'bold' }]) };
}

function row(label: string, client: EndLines, wire1: Heard, wire2: Heard, origin: EndLines): Row {
  return { label, cells: [plain(client), describeHeard(wire1), describeHeard(wire2), plain(origin)] };
}

function plain(lines: EndLines): Line[] {
  return lines.map((text) => ({ text }));
}

function describeHeard({ heads, excerpt }: Heard): Line[] {
  const readable = heads.map((head) => bad(`reads ${head}`));
  if (excerpt === undefined) return readable;
  const { text, secret } = excerpt;
  return [...readable, secret ? { text, mark: secret } : { text, style: 'dim', raw: 2 }];
}

function describeKey({ keyId, algorithm, startedBy, authority, depth }: SeenKey): Line {
  const whose = authority === '' ? 'proxy' : authority;
  const inside = depth > 0 ? ', in tunnel' : '';
  const byOrigin = startedBy === 'server' ? ', by origin' : '';
  return { text: `${keyId} ${algorithm}, ${whose}${inside}${byOrigin}` };
}

function describeBytes({ sealedBytes, negotiationBytes, clearBytes }: HopView): Line[] {
  const rest = clearBytes - negotiationBytes;
  return [
    { text: `${sealedBytes} sealed` },
    { text: `${negotiationBytes} to negotiate keys` },
    { text: `${rest} other clear` },
  ];
}

function verdict({ canaryVisible }: HopView): Line {
  return canaryVisible ? bad('SECRETS FOUND') : good('not found');
}

/** Who can read what, as the captures prove it: the proxy passes on what wire 2 shows, so it has nothing more. */
function conclude({ hops: { clientToProxy, proxyToOrigin } }: FlowResult): string[] {
  if (clientToProxy.canaryVisible || proxyToOrigin.canaryVisible)
    return [shade('red', 'Everybody on the way can read everything: both wires and the proxy.')];
  const requests = proxyToOrigin.request.heads;
  const what = requests.length > 0 ? 'the answer' : 'request and answer';
  const hosts = [...new Set(proxyToOrigin.keys.map(({ authority }) => authority))];
  const each =
    hosts.length > 1
      ? `, under a key for each host (${hosts.join(', ')})`
      : proxyToOrigin.keys.length > 1
        ? ', each under a key of its own'
        : '';
  return [
    ...requests.map((request) => shade('red', `Both wires and the proxy can read the request: ${request}`)),
    shade('green', `Only client and origin can read ${what}${each}.`),
  ];
}

function failures({ checks }: FlowResult): string[] {
  const failed = Object.entries(checks).filter(([, passed]) => !passed);
  return failed.map(([check]) => shade('red', `NOT AS PROMISED: ${check}`));
}

function algorithms({ keys }: HopView): string {
  return [...new Set(keys.map(({ algorithm }) => algorithm))].join(', ') || 'none';
}

function good(text: string): Line {
  return { text, style: 'green' };
}

function bad(text: string): Line {
  return { text, style: 'red' };
}
