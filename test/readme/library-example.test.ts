// Runs the code of the READMEs that is marked with `<!-- run: NAME -->`, so that it cannot rot.
import { afterEach, expect, test } from 'vitest';
import { run } from '../support/processes.ts';
import { Scope } from '../support/scope.ts';
import { placeFor, promised, serve } from './readme-code.ts';

const node = process.execPath;
const scope = new Scope();
afterEach(() => scope.close());

test('README.md: client and origin', async () => {
  const { options, code } = await placeFor(scope, 'README.md');
  await run('keymux', ['keygen', 'site.key'], options);
  await code('origin.js');
  await serve(scope, node, ['origin.js'], options, 'ready');
  const stdout = promised(await code('client.js')).replace('\n', '\n\n'); // the body has a line end of its own
  expect(await run(node, ['client.js'], options)).toEqual({ code: 0, stdout, stderr: '' });
});

test('README.md: the quick start', async () => {
  const { options, code } = await placeFor(scope, 'README.md');
  for (const line of (await code('sh')).trim().split('\n')) {
    const [command = '', ...args] = line.replace('npx ', '').split(' ');
    if (args.at(-1) === '&') await serve(scope, command, args.slice(0, -1), options, 'listens on');
    else expect(await run(command, args, options)).toMatchObject({ code: 0 });
  }
});

test.each(['streams', 'proxy'])('%s', async (name) => {
  const { options, code } = await placeFor(scope, `packages/${name}/README.md`);
  const stdout = promised(await code('example.js'));
  expect(await run(node, ['example.js'], options)).toEqual({ code: 0, stdout, stderr: '' });
});

test('client: through a proxy', async () => {
  const { options, code, ports } = await placeFor(scope, 'packages/client/README.md');
  for (const file of ['work.key', 'site.key']) await run('keymux', ['keygen', file], options);
  const allow = ['--allow', `127.0.0.1:${ports[1]}`];
  await serve(scope, 'keymux', ['proxy', '--key', 'work.key', ...allow], options, 'listens on');
  const origin = ['origin', '--key', 'site.example=site.key', '--listen', ports[1]];
  await serve(scope, 'keymux', origin, options, 'listens on');
  const stdout = promised(await code('example.js'));
  expect(await run(node, ['example.js'], options)).toEqual({ code: 0, stdout, stderr: '' });
});

test('origin: the answer to a clear request is sealed', async () => {
  const { options, code, ports } = await placeFor(scope, 'packages/origin/README.md');
  await run('keymux', ['keygen', 'site.key'], options);
  const lines = promised(await code('example.js'));
  const output = await serve(scope, node, ['example.js'], options, 'ready');
  const to = ['--connect-to', `127.0.0.1:${ports[0]}`];
  const get = ['get', 'keymux://site.example/', '--clear', '--key', 'site.key', ...to];
  expect(await run('keymux', get, options)).toMatchObject({ code: 0, stdout: 'only you can read this\n' });
  await expect.poll(output).toBe(`ready\n${lines}`);
});
