import { constants } from 'node:fs';
import { open, realpath } from 'node:fs/promises';
import { join, sep } from 'node:path';
import mime from 'mime';
import type { Handler, OriginResponse } from './handler.ts';

/** Serves the regular files below a directory by GET and HEAD. Links that lead out of it are not followed. */
export async function staticFiles(directory: string): Promise<Handler> {
  const root = await realpath(directory);
  return async ({ method, path }) => {
    if (method !== 'GET' && method !== 'HEAD') return text(405, 'only GET and HEAD');
    const wanted = decodePath(path);
    if (wanted === undefined) return text(400, 'not a path');
    return (await fileIn(root, wanted)) ?? text(404, 'no such file');
  };
}

async function fileIn(root: string, wanted: string): Promise<OriginResponse | undefined> {
  const target = await realpath(join(root, wanted)).catch(() => undefined);
  const below = root.endsWith(sep) ? root : root + sep;
  if (target === undefined || (target !== root && !target.startsWith(below))) return undefined;
  // Opening a named pipe would wait for somebody to write to it, and hold one of few threads meanwhile.
  const file = await open(target, constants.O_RDONLY | constants.O_NONBLOCK).catch(() => undefined);
  if (file === undefined) return undefined;
  const stat = await file.stat();
  if (stat.isDirectory()) {
    await file.close();
    return wanted.endsWith('index.html') ? undefined : fileIn(root, join(wanted, 'index.html'));
  }
  if (!stat.isFile()) {
    await file.close();
    return undefined;
  }
  if (stat.size === 0) await file.close();
  return {
    status: 200,
    headers: [
      ['content-type', mime.getType(target) ?? 'application/octet-stream'],
      ['content-length', String(stat.size)],
      ['last-modified', stat.mtime.toUTCString()],
    ],
    // The file may grow meanwhile; no more is sent than was announced.
    body: stat.size === 0 ? '' : file.createReadStream({ highWaterMark: 64 * 1024, end: stat.size - 1 }),
  };
}

function decodePath(path: string): string | undefined {
  try {
    const decoded = decodeURIComponent(path.split('?', 1)[0] as string);
    return decoded.includes('\0') ? undefined : decoded;
  } catch {
    return undefined;
  }
}

function text(status: number, message: string): OriginResponse {
  return { status, headers: [['content-type', 'text/plain; charset=utf-8']], body: `${message}\n` };
}
