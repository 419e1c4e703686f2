import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readdir, readFile } from 'node:fs/promises';
import { afterEach, describe, expect, test } from 'vitest';
import { commandLine } from '../support/kernel.ts';
import { keymux, PROGRAM } from '../support/processes.ts';
import { Scope } from '../support/scope.ts';

const scope = new Scope();
afterEach(() => scope.close());

interface Hop {
  readonly connections: number;
  readonly frames: Readonly<Record<string, number>>;
  readonly keys: readonly { keyId: number; algorithm: string; startedBy: string; depth: number }[];
  readonly sealedBytes: number;
  readonly clearBytes: number;
  readonly canaryVisible: boolean;
  readonly request: { readonly sealedUnder: readonly number[] };
  readonly answer: { readonly sealedUnder: readonly number[] };
}

interface Flow {
  readonly id: string;
  readonly ok: boolean;
  readonly checks: Readonly<Record<string, boolean>>;
  readonly hops: { readonly clientToProxy: Hop; readonly proxyToOrigin: Hop };
}

describe('keymux demo', () => {
  test('--json prints one document that says what each hop saw of each flow', async () => {
    const started = performance.now();
    const { code, stdout, stderr } = await keymux(['demo', '--json']);
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
    expect(performance.now() - started).toBeLessThan(60_000); // alone, less than 10 seconds
    const document = JSON.parse(stdout) as { ok: boolean; flows: Flow[] };
    expect(document.ok).toBe(true);
    const flows = new Map(document.flows.map((flow) => [flow.id, flow]));
    expect([...flows.keys()]).toEqual(['S1', 'S2', 'S3', 'S5', 'M3']);
    for (const { ok, checks, hops } of flows.values()) {
      expect(ok).toBe(true);
      expect(Object.values(checks).every((value) => value === true)).toBe(true);
      for (const hop of Object.values(hops)) {
        expect(hop.connections).toBe(1);
        expect(Object.values(hop.frames).every((count) => count > 0)).toBe(true);
        expect(hop.sealedBytes + hop.clearBytes).toBeGreaterThan(0);
        expect(typeof hop.canaryVisible).toBe('boolean');
      }
    }
    const hop = (id: string): Hop => flows.get(id)?.hops.proxyToOrigin as Hop;
    for (const id of ['S1', 'S2', 'S3', 'S5']) {
      expect(hop(id).canaryVisible).toBe(false);
      expect(flows.get(id)?.hops.clientToProxy.canaryVisible).toBe(false);
      expect(hop(id).sealedBytes).toBeGreaterThan(0);
      expect(hop(id).frames).toHaveProperty('KEY_NEGO');
      expect(hop(id).frames).toHaveProperty('SEALED');
    }
    expect(hop('S1').keys).toMatchObject([{ keyId: 1, algorithm: 'psk-x25519', startedBy: 'client' }]);
    expect(hop('S2').keys).toMatchObject([{ keyId: 2, algorithm: 'psk-x25519', startedBy: 'server' }]);
    expect(hop('S3').keys).toMatchObject([{ keyId: 1 }, { keyId: 3 }]);
    expect(hop('S5').keys).toMatchObject([
      { keyId: 1, algorithm: 'signed', startedBy: 'client' },
      { keyId: 2, algorithm: 'signed', startedBy: 'server' },
    ]);
    expect([hop('S5').request.sealedUnder, hop('S5').answer.sealedUnder]).toEqual([[1], [2]]);
    expect(hop('M3')).toMatchObject({ canaryVisible: true, sealedBytes: 0, keys: [] });
    expect(flows.get('M3')?.hops.clientToProxy.canaryVisible).toBe(true);
  });

  test('shows the flows to people, and no secret to ps', async () => {
    const demo = spawn(process.execPath, [PROGRAM, 'demo'], { stdio: ['ignore', 'pipe', 'inherit'] });
    let output = '';
    const seen: Promise<string[]>[] = [];
    demo.stdout.on('data', (chunk) => {
      output += chunk;
      seen.push(commandLinesBelow(demo.pid as number)); // servers run all the time, clients come and go
    });
    expect(await once(demo, 'close')).toEqual([0, null]);
    const secrets = output.match(/\b(?:CANARY|PASSWORD)-[0-9a-f]+/g);
    expect(secrets?.length).toBeGreaterThan(0); // M3 shows what a wiretap reads
    const lines = (await Promise.all(seen)).flat();
    expect(lines.filter((line) => / (origin|proxy) /.test(line)).length).toBeGreaterThan(1);
    for (const line of lines) expect(line).not.toMatch(/CANARY|PASSWORD/);
    for (const id of ['S1', 'S2', 'S3', 'S5', 'M3']) expect(output).toContain(id);
    expect(output).toContain('as promised');
    expect(output).not.toContain('NOT as promised');
  });

  test.each([
    ['SIGTERM', 143],
    ['nobody who reads', 0],
  ] as const)('ended early by %s, it leaves neither processes nor keys behind', async (end, code) => {
    const tmp = (await scope.directory())('.');
    const env = { ...process.env, TMPDIR: tmp };
    const demo = spawn(process.execPath, [PROGRAM, 'demo'], { stdio: ['ignore', 'pipe', 'inherit'], env });
    await once(demo.stdout, 'data'); // the servers listen
    expect(await readdir(tmp)).toHaveLength(1);
    const servers = await childrenOf(demo.pid as number);
    expect(servers.length).toBeGreaterThanOrEqual(2);
    const exit = once(demo, 'exit');
    if (end === 'nobody who reads') demo.stdout.destroy();
    else demo.kill(end);
    expect(await exit).toEqual([code, null]);
    expect(await readdir(tmp)).toEqual([]);
    const left = (): Promise<string[]> =>
      Promise.all(servers.map((pid) => commandLine(pid).catch(() => ''))).then((lines) =>
        lines.filter((line) => line.includes(tmp)),
      );
    await expect.poll(left).toEqual([]);
  });
});

/** The command lines of the processes that a process has started. */
async function commandLinesBelow(pid: number): Promise<string[]> {
  return Promise.all((await childrenOf(pid)).map((child) => commandLine(child).catch(() => '')));
}

async function childrenOf(pid: number): Promise<number[]> {
  const children = await readFile(`/proc/${pid}/task/${pid}/children`, 'utf8').catch(() => '');
  return children.split(' ').filter(Boolean).map(Number);
}
