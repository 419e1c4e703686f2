import { randomBytes } from 'node:crypto';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createKeyFile } from '@keymux/keys';
import { FLOWS, type Flow } from '../demo/flows.ts';
import { type HopView, viewHop } from '../demo/hop.ts';
import { type ClientRun, runClient, ServerProcess } from '../demo/processes.ts';
import { drawFlow } from '../demo/screen.ts';
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
  readonly client: readonly string[];
  readonly origin: readonly string[];
}

/** The processes and wiretaps of the demonstration, and the names that flows use for them. */
interface Stage {
  readonly origin: ServerProcess;
  readonly taps: { readonly clientToProxy: Wiretap; readonly proxyToOrigin: Wiretap };
  readonly names: Readonly<Record<string, string>>;
  readonly canaries: readonly string[];
}

/** `keymux demo`: plays the main flows between separate processes, and shows what each wiretap got. */
export async function demo(_argv: Record<string, unknown>, output: Output): Promise<ExitCode> {
  const started = performance.now();
  const cleanup: (() => unknown)[] = [];
  try {
    const stage = await setStage(cleanup);
    if (!output.json)
      output.result('origin, proxy and client are separate processes; a wiretap records each hop.\n');
    const flows: FlowResult[] = [];
    for (const flow of FLOWS) {
      const result = await play(flow, stage);
      flows.push(result);
      if (!output.json) output.result(drawFlow(result));
    }
    const ok = flows.every((flow) => flow.ok);
    const seconds = Math.round(performance.now() - started) / 1000;
    if (output.json) output.result(JSON.stringify({ ok, seconds, flows }, undefined, 2));
    return ok ? EXIT.OK : EXIT.FAILURE;
  } finally {
    for (const step of cleanup.reverse()) await step();
  }
}

async function setStage(cleanup: (() => unknown)[]): Promise<Stage> {
  const directory = await mkdtemp(join(tmpdir(), 'keymux-demo-'));
  cleanup.push(() => rm(directory, { recursive: true }));
  const file = (name: string): string => join(directory, name);
  for (const name of ['proxy', 'alpha', 'beta']) await createKeyFile(file(`${name}.key`));
  const secret = `CANARY-${randomBytes(8).toString('hex')}`;
  const password = `PASSWORD-${randomBytes(8).toString('hex')}`;
  await writeFile(file('password'), password);

  const keys = ['--key', `alpha.test=${file('alpha.key')}`, '--key', `beta.test=${file('beta.key')}`];
  const origin = await ServerProcess.start(['origin', ...keys], { KEYMUX_SECRET: secret });
  cleanup.push(() => origin.stop());
  const proxyToOrigin = await Wiretap.listen(origin.port);
  cleanup.push(() => proxyToOrigin.close());
  const allow = `127.0.0.1:${proxyToOrigin.port}`;
  const proxy = await ServerProcess.start(['proxy', '--key', file('proxy.key'), '--clear', '--allow', allow]);
  cleanup.push(() => proxy.stop());
  const clientToProxy = await Wiretap.listen(proxy.port);
  cleanup.push(() => clientToProxy.close());

  const names = {
    proxy: `127.0.0.1:${clientToProxy.port}`,
    origin: allow,
    proxyKey: file('proxy.key'),
    alpha: file('alpha.key'),
    beta: file('beta.key'),
    password: file('password'),
  };
  return { origin, taps: { clientToProxy, proxyToOrigin }, names, canaries: [secret, password] };
}

async function play(flow: Flow, stage: Stage): Promise<FlowResult> {
  const names: Readonly<Record<string, string>> = stage.names;
  const run = await runClient(
    flow.args.map((arg) => arg.replace(/\{(\w+)\}/g, (_, name: string) => names[name] ?? '')),
  );
  const hops = {
    clientToProxy: viewHop(stage.taps.clientToProxy.take(), stage.canaries),
    proxyToOrigin: viewHop(stage.taps.proxyToOrigin.take(), stage.canaries),
  };
  const checks = {
    'the client ended well': run.exitCode === EXIT.OK,
    ...flow.expect({
      statuses: run.results.map(({ status }) => Number(status)),
      answers: run.results.map(({ answer }) => String(answer)),
      ...hops,
    }),
  };
  const ok = Object.values(checks).every(Boolean);
  return {
    id: flow.id,
    title: flow.title,
    ok,
    checks,
    hops,
    client: clientLines(run),
    origin: originLines(stage.origin),
  };
}

function clientLines(run: ClientRun): string[] {
  if (run.results.length === 0) return run.stderr.trim().split('\n');
  return run.results.map(
    ({ url, status, bytes, answer }) => `${url}: ${status}, ${bytes} bytes, answer ${answer}`,
  );
}

function originLines(origin: ServerProcess): string[] {
  return origin
    .take()
    .filter(({ event }) => event === 'request')
    .map(
      ({ method, host, path, status, received, sent }) =>
        `${method} ${host}${path}: ${status}, request ${received}, answer ${sent}`,
    );
}
