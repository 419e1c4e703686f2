// What a user gets: the packages as npm packs them, installed into a project that knows nothing of this one.
import { mkdir, readdir, readFile, writeFile } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { serve } from '../readme/readme-code.ts';
import { jsonLines, type Run, run } from '../support/processes.ts';
import { Scope } from '../support/scope.ts';

const ROOT = fileURLToPath(new URL('../..', import.meta.url));
const node = process.execPath;

interface Packed {
  readonly name: string;
  readonly version: string;
  readonly filename: string;
  readonly files: readonly { readonly path: string }[];
}

const scope = new Scope();
/** As npm sets it for scripts, it would have npm work in this project instead of the other. */
const { npm_config_local_prefix: _, ...env } = process.env;
let project: { cwd: string; env: NodeJS.ProcessEnv };
let packed: Packed[];

beforeAll(async () => {
  const path = await scope.directory();
  await mkdir(path('project'));
  project = { cwd: path('project'), env };
  const folders = (await readdir(`${ROOT}packages`)).map((name) => `--workspace=packages/${name}`);
  const pack = ['pack', '--json', `--pack-destination=${path('.')}`, ...folders];
  packed = JSON.parse((await npm(pack, { cwd: ROOT, env })).stdout) as Packed[];
  await write('package.json', JSON.stringify({ private: true, type: 'module' }));
  const { devDependencies } = JSON.parse(await readFile(`${ROOT}package.json`, 'utf8'));
  const tarballs = packed.map(({ filename }) => path(filename));
  const types = `@types/node@${devDependencies['@types/node']}`;
  await npm(['install', '--prefer-offline', '--no-audit', '--no-fund', ...tarballs, types], project);
});
afterAll(() => scope.close());

/** The npm that runs the tests, on the Node that does. */
async function npm(args: readonly string[], options: typeof project): Promise<Run> {
  const script = process.env.npm_execpath;
  const [command, ...first] = script?.endsWith('npm-cli.js') ? [node, script] : ['npm'];
  const result = await run(command as string, [...first, ...args, '--loglevel=error'], options);
  if (result.code !== 0) throw new Error(`npm ${args[0]}: ${result.stderr}`);
  return result;
}

const write = (name: string, content: string): Promise<void> => writeFile(`${project.cwd}/${name}`, content);
const keymux = (...args: string[]): Promise<Run> =>
  run(node, [installed('keymux/bin/keymux.js'), ...args], project);
const installed = (path: string): string => `${project.cwd}/node_modules/${path}`;

test('each package has its licence, its README, its code and types, and nothing of how they were made', () => {
  expect(packed).toHaveLength(13);
  for (const { name, files } of packed) {
    const paths = files.map(({ path }) => path);
    expect(paths, name).toEqual(
      expect.arrayContaining(['LICENSE', 'README.md', 'package.json', 'dist/index.js', 'dist/index.d.ts']),
    );
    const others = paths.filter(
      (path) => !/^(LICENSE|README\.md|package\.json|(bin|dist|src|systemd|wireshark)\/.*)$/.test(path),
    );
    expect(others, name).toEqual([]);
    expect(
      paths.filter((path) => /tsbuildinfo|\.test\./.test(path)),
      name,
    ).toEqual([]);
    // A source map without its source is no help.
    for (const path of paths.filter((one) => one.endsWith('.js.map'))) {
      const source = path.replace(/^dist/, 'src').replace(/\.js\.map$/, '');
      expect(
        [`${source}.ts`, `${source}.js`].some((one) => paths.includes(one)),
        `${name}: the source of ${path}`,
      ).toBe(true);
    }
  }
});

describe('TypeScript', () => {
  const compile = (module: string, moduleResolution: string): Promise<Run> => {
    const options = ['--module', module, '--moduleResolution', moduleResolution, '--target', 'es2022'];
    // The declarations of the packages are checked as well.
    const strict = ['--noEmit', '--strict', '--exactOptionalPropertyTypes', '--types', 'node'];
    return run(node, [`${ROOT}node_modules/typescript/bin/tsc`, ...strict, ...options, 'user.ts'], project);
  };
  test.each([
    ['nodenext', 'nodenext'],
    ['node16', 'node16'],
    ['esnext', 'bundler'],
  ])(
    'compiles a strict user and finds his mistake, module %s with resolution %s',
    async (module, resolution) => {
      await write('user.ts', `${imports()}${USER}`);
      expect(await compile(module, resolution)).toMatchObject({ code: 0, stdout: '' });
    },
  );
});

/** All of every package, for what is only declared and not there. */
const imports = (): string =>
  packed.map(({ name }, index) => `import * as all${index} from '${name}';\nvoid all${index};\n`).join('');

const USER = `
import { Client, type Response } from '@keymux/client';
import { ALGORITHM, Keyring, LocalKeeper, PreSharedKey } from '@keymux/keys';

export async function ask(address: string, secret: Uint8Array): Promise<Response> {
  const keyring = new Keyring();
  const label: string = keyring.add(new PreSharedKey(secret), { authorities: ['site.example'] });
  const client = await Client.connect(address, { keeper: new LocalKeeper({ keyring }) });
  const key = await client.negotiate({ algorithm: ALGORITHM.PSK_X25519, label, authority: 'site.example' });
  // @ts-expect-error: names are the command's; a declaration that says too little would let this pass
  await client.negotiate({ algorithm: 'psk-x25519', label });
  return client.request({ host: 'site.example', path: '/', key });
}
`;

test('every package can be imported, and has what its types declare', async () => {
  await write('names.js', NAMES);
  const { code, stdout, stderr } = await run(node, ['names.js', ...packed.map(({ name }) => name)], project);
  expect([code, stderr]).toEqual([0, '']);
  const names = JSON.parse(stdout) as Record<string, string[]>;
  for (const { name } of packed) {
    const declared = await readFile(installed(`${name}/dist/index.d.ts`), 'utf8');
    for (const exported of names[name] as string[])
      expect(declared, name).toMatch(new RegExp(`\\b${exported}\\b`));
    expect(names[name]?.length, name).toBeGreaterThan(0);
  }
});

const NAMES = `
const names = {};
for (const name of process.argv.slice(2)) names[name] = Object.keys(await import(name));
console.log(JSON.stringify(names));
`;

describe('the command', () => {
  test('is in the path of npx', async () => {
    const version = packed.find(({ name }) => name === 'keymux')?.version;
    expect(await npm(['exec', '--no', 'keymux', '--', '--version'], project)).toMatchObject({
      stdout: `${version}\n`,
    });
  });

  test('has help', async () => {
    expect(await keymux('--help')).toMatchObject({
      code: 0,
      stderr: '',
      stdout: expect.stringContaining('keymux keygen'),
    });
  });

  test('serves and fetches a sealed page, each in a process of its own', async () => {
    expect(await keymux('keygen', 'site.key')).toMatchObject({ code: 0 });
    const args = ['origin', '--key', 'site.example=site.key', '--listen', '127.0.0.1:0', '--json'];
    const output = await serve(
      scope,
      node,
      [installed('keymux/bin/keymux.js'), ...args],
      project,
      '"listening"',
    );
    // Warnings, to root for one, are not JSON.
    const events = jsonLines(output().replace(/^[^{].*$/gm, ''));
    const { address } = events.find(({ event }) => event === 'listening') as { address: string };
    const get = [
      'get',
      'keymux://site.example/login',
      '--key',
      'site.key',
      '--connect-to',
      address,
      '--json',
    ];
    const { code, stdout } = await keymux(...get);
    expect(code).toBe(0);
    expect(jsonLines(stdout)[0]).toMatchObject({ status: 200, level: 'authenticated' });
  });
});
