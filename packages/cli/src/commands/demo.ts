import { randomBytes } from 'node:crypto';
import { writeFile } from 'node:fs/promises';
import { createKeyFile } from '@keymux/keys';
import { type Backstage, withBackstage } from '../demo/backstage.ts';
import { FLOWS, type Flow } from '../demo/flows.ts';
import { type HopView, viewHop } from '../demo/hop.ts';
import { createIdentity } from '../demo/identity.ts';
import { type ClientRun, runClient, ServerProcess } from '../demo/processes.ts';
import { drawFlow, drawSummary, INTRODUCTION } from '../demo/screen.ts';
import { Wiretap } from '../demo/wiretap.ts';
import { EXIT, type ExitCode } from '../exit-codes.ts';
import type { Output } from '../output.ts';

/** What came of one flow; the document of `--json` has one for each. */
export interface FlowResult {
  readonly id: string;
  readonly title: string;
  readonly ok: boolean;
  readonly checks: Readonly<Record<string, boolean>>;
  readonly hops: { readonly clientToProxy: HopView; readonly proxyToOrigin: HopView };
  /** What the ends said. */
  readonly client: End;
  readonly origin: End;
}

export type EndLines = readonly string[];

/** An end's part in a flow, in words. */
export interface End {
  readonly request: EndLines;
  readonly answer: EndLines;
}

/** The processes and wiretaps of the demonstration, and the names that flows use for them. */
interface Stage {
  readonly origin: ServerProcess;
  readonly taps: { readonly clientToProxy: Wiretap; readonly proxyToOrigin: Wiretap };
  readonly names: Readonly<Record<string, string>>;
  /** What the client sends, and the origin answers; wiretaps look for both. */
  readonly password: string;
  readonly secret: string;
}

/** `keymux demo`: plays the main flows between separate processes, and shows what each wiretap got. */
export async function demo(_argv: Record<string, unknown>, output: Output): Promise<ExitCode> {
  const started = performance.now();
  return withBackstage(async (backstage) => {
    const stage = await setStage(backstage);
    if (!output.json) output.result(INTRODUCTION);
    const flows: FlowResult[] = [];
    for (const flow of FLOWS) {
      const result = await play(flow, stage);
      flows.push(result);
      if (!output.json) output.result(drawFlow(result));
    }
    const ok = flows.every((flow) => flow.ok);
    const seconds = Math.round(performance.now() - started) / 1000;
    output.result(
      output.json ? JSON.stringify({ ok, seconds, flows }, undefined, 2) : drawSummary(flows, seconds),
    );
    return ok ? EXIT.OK : EXIT.FAILURE;
  });
}

async function setStage({ path: file, defer }: Backstage): Promise<Stage> {
  for (const name of ['proxy', 'alpha', 'beta']) await createKeyFile(file(`${name}.key`));
  const secret = `CANARY-${randomBytes(2).toString('hex')}`;
  const password = `PASSWORD-${randomBytes(2).toString('hex')}`;
  await writeFile(file('password'), password);

  await writeFile(file('authorized_keys'), await createIdentity(file('alice')));
  await writeFile(file('known_hosts'), `[gamma.test]:6121 ${await createIdentity(file('gamma'))}`);

  const hosts = [
    ...['--key', `alpha.test=${file('alpha.key')}`, '--key', `beta.test=${file('beta.key')}`],
    ...['--host', 'gamma.test', '--key-each-way', 'gamma.test'],
    ...['--identity', file('gamma'), '--authorized-keys', file('authorized_keys')],
  ];
  const origin = await ServerProcess.start(['origin', ...hosts], { env: { KEYMUX_SECRET: secret } });
  defer(() => origin.stop());
  const proxyToOrigin = await Wiretap.listen(origin.port);
  defer(() => proxyToOrigin.close());
  const allow = `127.0.0.1:${proxyToOrigin.port}`;
  const proxy = await ServerProcess.start(['proxy', '--key', file('proxy.key'), '--clear', '--allow', allow]);
  defer(() => proxy.stop());
  const clientToProxy = await Wiretap.listen(proxy.port);
  defer(() => clientToProxy.close());

  const names = {
    proxy: `127.0.0.1:${clientToProxy.port}`,
    origin: allow,
    proxyKey: file('proxy.key'),
    alpha: file('alpha.key'),
    beta: file('beta.key'),
    alice: file('alice'),
    knownHosts: file('known_hosts'),
    password: file('password'),
  };
  return { origin, taps: { clientToProxy, proxyToOrigin }, names, password, secret };
}

async function play(flow: Flow, stage: Stage): Promise<FlowResult> {
  const names: Readonly<Record<string, string>> = stage.names;
  const run = await runClient(
    flow.args.map((arg) => arg.replace(/\{(\w+)\}/g, (_, name: string) => names[name] ?? '')),
  );
  const { clientToProxy, proxyToOrigin } = stage.taps;
  const canaries = [stage.password, stage.secret];
  const hops = {
    clientToProxy: viewHop(clientToProxy.take(), canaries),
    proxyToOrigin: viewHop(proxyToOrigin.take(), canaries),
  };
  const checks = {
    'the client ended well': run.exitCode === EXIT.OK,
    ...flow.expect({
      statuses: run.results.map(({ status }) => Number(status)),
      answers: run.results.map(({ answer }) => String(answer)),
      ...hops,
    }),
  };
  const { id, title } = flow;
  const ok = Object.values(checks).every(Boolean);
  const ends = { client: clientEnd(run, flow, stage), origin: originEnd(stage) };
  return { id, title, ok, checks, hops, ...ends };
}

function clientEnd({ results, stderr }: ClientRun, { args }: Flow, { password }: Stage): End {
  const sent = args.includes('--data') ? [`  sends ${password}`] : [];
  const method = sent.length > 0 ? 'POST' : 'GET';
  const urls = args.filter((arg) => arg.startsWith('keymux://'));
  const answer = results.flatMap(({ status, bytes, answer }) => [`${status}, ${bytes} bytes`, level(answer)]);
  return {
    request: urls.flatMap((url) => [`${method} ${url.slice('keymux://'.length)}`, ...sent]),
    answer: results.length > 0 ? answer : stderr.trim().split('\n'),
  };
}

function originEnd({ origin, secret }: Stage): End {
  const requests = origin.take().filter(({ event }) => event === 'request');
  return {
    request: requests.flatMap(({ method, host, path, received }) => [
      `${method} ${host}${path}`,
      level(received),
    ]),
    answer: requests.flatMap(({ status }) => [String(status), `  sends ${secret}`]),
  };
}

function level(name: unknown): string {
  return name === 'none' ? '  unprotected' : `  ${name}`;
}
