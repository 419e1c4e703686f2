import { type SpawnOptions, spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFile, symlink, writeFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import { delimiter } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { Scope } from '../support/scope.ts';
import { listen } from '../support/servers.ts';

const ROOT = fileURLToPath(new URL('../..', import.meta.url));
const PATH = `${ROOT}node_modules/.bin${delimiter}${process.env.PATH}`;

/** Where the code of a README runs: it finds the packages and the command there. */
export interface Place {
  /** For spawn. */
  readonly options: { readonly cwd: string; readonly env: NodeJS.ProcessEnv };
  /** Free ports, instead of 6121 and 6122 in the code. */
  readonly ports: readonly [string, string];
  /** The code block that follows the mark `<!-- run: NAME -->`. */
  readonly code: (name: string) => Promise<string>;
}

/** Makes a directory for the code of a README, given by its path from the root. */
export async function placeFor(scope: Scope, readme: string): Promise<Place> {
  const path = await scope.directory();
  await symlink(`${ROOT}node_modules`, path('node_modules'));
  await writeFile(path('package.json'), '{"type":"module"}');
  const ports = [await freePort(scope), await freePort(scope)] as const;
  const env = { ...process.env, PATH, KEYMUX_LISTEN: `127.0.0.1:${ports[0]}` };
  const markdown = await readFile(ROOT + readme, 'utf8');
  const code = async (name: string): Promise<string> => {
    const [, found] = markdown.split(`<!-- run: ${name} -->`)[1]?.match(/^\s*```\w+\n(.*?)\n```/s) ?? [];
    if (found === undefined) throw new Error(`${readme} has no code block marked "run: ${name}"`);
    const text = found.replaceAll('6121', ports[0]).replaceAll('6122', ports[1]);
    if (name.endsWith('.js')) await writeFile(path(name), text);
    return text;
  };
  return { options: { cwd: path('.'), env }, ports, code };
}

/** The lines that comments behind `console.log(...)` promise as output. */
export function promised(code: string): string {
  return [...code.matchAll(/console\.log\(.*\); \/\/ (.*)$/gm)].map(([, line]) => `${line}\n`).join('');
}

/** Starts a server that is gone when the test is; resolves with what tells its output so far when it has said `sign`. */
export async function serve(
  scope: Scope,
  command: string,
  args: readonly string[],
  options: SpawnOptions,
  sign: string,
): Promise<() => string> {
  const child = spawn(command, args, { ...options, stdio: ['ignore', 'pipe', 'pipe'] });
  const exited = once(child, 'close');
  scope.defer(async () => {
    child.kill('SIGKILL');
    await exited;
  });
  let output = '';
  await new Promise<void>((resolve, reject) => {
    for (const stream of [child.stdout, child.stderr]) {
      stream?.on('data', (chunk) => {
        output += chunk;
        if (output.includes(sign)) resolve();
      });
    }
    child.once('error', reject);
    child.once('close', () => reject(new Error(`${command} ended: ${output}`)));
  });
  return () => output;
}

async function freePort(scope: Scope): Promise<string> {
  const server = createServer();
  const port = await listen(scope, server);
  await new Promise((resolve) => server.close(resolve));
  return String(port);
}
