// Runs the code of README.md that is marked with `<!-- run: NAME -->`, so that it cannot rot.
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFile, symlink, writeFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import { delimiter } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterEach, expect, test } from 'vitest';
import { run } from '../support/processes.ts';
import { Scope } from '../support/scope.ts';
import { listen } from '../support/servers.ts';

const ROOT = fileURLToPath(new URL('../..', import.meta.url));
const PATH = `${ROOT}node_modules/.bin${delimiter}${process.env.PATH}`;
const PORT = '6121';

const scope = new Scope();
afterEach(() => scope.close());

test('client and origin, as the README shows them', async () => {
  const { env, cwd, block } = await prepare();
  await run('keymux', ['keygen', 'site.key'], { env, cwd });
  for (const name of ['origin.js', 'client.js']) await writeFile(`${cwd}/${name}`, await block(name));
  await serve(process.execPath, ['origin.js'], { env, cwd }, 'ready');
  const { stdout, stderr } = await run(process.execPath, ['client.js'], { env, cwd });
  expect(stderr).toBe('');
  expect(stdout.trim()).toBe(promised(await block('client.js')));
});

test('the quick start', async () => {
  const { env, cwd, block } = await prepare();
  for (const line of (await block('sh')).trim().split('\n')) {
    const [command = '', ...args] = line.replace('npx ', '').split(' ');
    if (args.at(-1) === '&') await serve(command, args.slice(0, -1), { env, cwd }, 'listens on');
    else expect(await run(command, args, { env, cwd })).toMatchObject({ code: 0 });
  }
});

/** A directory where the README's code finds the packages, and its code with a free port instead of the default one. */
async function prepare(): Promise<{
  env: NodeJS.ProcessEnv;
  cwd: string;
  block: (name: string) => Promise<string>;
}> {
  const path = await scope.directory();
  await symlink(`${ROOT}node_modules`, path('node_modules'));
  await writeFile(path('package.json'), '{"type":"module"}');
  const free = createServer();
  const port = String(await listen(scope, free));
  await new Promise((resolve) => free.close(resolve));
  const env = { ...process.env, PATH, KEYMUX_LISTEN: `127.0.0.1:${port}` };
  return { env, cwd: path('.'), block: async (name) => (await codeBlock(name)).replaceAll(PORT, port) };
}

/** The code block of README.md that follows the mark `<!-- run: NAME -->`. */
async function codeBlock(name: string): Promise<string> {
  const readme = await readFile(`${ROOT}README.md`, 'utf8');
  const [, code] = readme.split(`<!-- run: ${name} -->`)[1]?.match(/^\s*```\w+\n(.*?)\n```/s) ?? [];
  if (code === undefined) throw new Error(`README.md has no code block marked "run: ${name}"`);
  return code;
}

/** The output that a comment behind `console.log` promises. */
function promised(code: string): string | undefined {
  return /console\.log\(.*\); \/\/ (.*)$/m.exec(code)?.[1];
}

/** Starts a server that is gone when the test is; resolves when it says that it is there. */
async function serve(
  command: string,
  args: readonly string[],
  options: { env: NodeJS.ProcessEnv; cwd: string },
  sign: string,
): Promise<void> {
  const child: ChildProcess = spawn(command, args, { ...options, stdio: ['ignore', 'pipe', 'pipe'] });
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
}
