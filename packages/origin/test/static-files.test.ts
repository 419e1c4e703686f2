import { spawnSync } from 'node:child_process';
import { appendFile, mkdir, mkdtemp, realpath, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { text } from 'node:stream/consumers';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { Handler, OriginRequest } from '../src/handler.ts';
import { staticFiles } from '../src/static-files.ts';

let directory: string;
let serve: Handler;

beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), 'keymux-files-'));
  const root = join(directory, 'root');
  await mkdir(join(root, 'sub'), { recursive: true });
  await writeFile(join(directory, 'outside.txt'), 'outside');
  await writeFile(join(root, 'a b.txt'), 'with a space');
  await writeFile(join(root, 'index.html'), '<p>root');
  await writeFile(join(root, 'sub', 'index.html'), '<p>sub');
  await symlink(join(directory, 'outside.txt'), join(root, 'leads-out.txt'));
  await symlink(join(root, 'a b.txt'), join(root, 'stays-in.txt'));
  serve = await staticFiles(root);
});

afterAll(() => rm(directory, { recursive: true }));

const request = async (
  path: string,
  method = 'GET',
): Promise<{ status: number; type?: string; body: string }> => {
  const response = await serve({ path, method, headers: [] } as unknown as OriginRequest);
  const body = response.body instanceof Readable ? await text(response.body) : String(response.body ?? '');
  const type = response.headers?.find(([name]) => name === 'content-type')?.[1];
  return { status: response.status, body, ...(type ? { type } : {}) };
};

describe('static files', () => {
  it.each([
    ['/', '<p>root', 'text/html'],
    ['/a%20b.txt', 'with a space', 'text/plain'],
    ['/a%20b.txt?x=../..', 'with a space', 'text/plain'],
    ['/sub/', '<p>sub', 'text/html'],
    ['/sub', '<p>sub', 'text/html'],
    ['/stays-in.txt', 'with a space', 'text/plain'],
    ['/sub/../index.html', '<p>root', 'text/html'],
  ])('serves %s', async (path, body, type) => {
    expect(await request(path)).toEqual({ status: 200, body, type });
  });

  it.each([
    ['/../outside.txt', 404],
    ['/%2e%2e/outside.txt', 404],
    ['/..%2foutside.txt', 404],
    ['/sub/../../outside.txt', 404],
    ['/leads-out.txt', 404],
    ['/../root-of-another-name', 404],
    ['//etc/passwd', 404],
    ['/no-such-file', 404],
    ['/%00', 400],
    ['/%', 400],
  ])('refuses %s', async (path, status) => {
    expect((await request(path)).status).toBe(status);
  });

  it('takes GET and HEAD only', async () => {
    expect((await request('/', 'POST')).status).toBe(405);
  });

  it('does not wait for somebody to write to a named pipe', async () => {
    expect(spawnSync('mkfifo', [join(directory, 'root', 'pipe')]).status).toBe(0);
    expect((await request('/pipe')).status).toBe(404);
  });

  it('serves below the root of the file system', async () => {
    const everything = await staticFiles('/');
    const path = join(await realpath(directory), 'outside.txt');
    const { status, body } = await everything({ path, method: 'GET' } as unknown as OriginRequest);
    expect(status).toBe(200);
    expect(await text(body as Readable)).toBe('outside');
  });

  it.each(['', 'as announced'])(
    'sends no more of a growing file than was announced: "%s"',
    async (content) => {
      const file = join(directory, 'root', 'growing.txt');
      await writeFile(file, content);
      const { headers, body } = await serve({
        path: '/growing.txt',
        method: 'GET',
      } as unknown as OriginRequest);
      await appendFile(file, ', and more');
      expect(headers).toContainEqual(['content-length', String(content.length)]);
      expect(body instanceof Readable ? await text(body) : body).toBe(content);
    },
  );
});
