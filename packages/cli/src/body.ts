import { constants, createWriteStream, rmSync } from 'node:fs';
import { access, rename, rm, stat } from 'node:fs/promises';
import { dirname } from 'node:path';
import { PassThrough, type Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { ConfigError, fileFault } from './errors.ts';

/** Where a body goes. */
export type BodyPlace =
  /** A file, which appears only when it is complete. What is there and no file, a pipe or a device, is written to. */
  | { readonly kind: 'file'; readonly path: string }
  | { readonly kind: 'standard output' }
  /** It is counted, not shown. */
  | { readonly kind: 'nowhere' };

/** Finds out whether a body could be put in its place, before anything is asked for. Rejects with ConfigError. */
export async function checkPlace(place: BodyPlace): Promise<void> {
  if (place.kind !== 'file') return;
  const { path } = place;
  try {
    const there = await stat(path).catch(() => undefined);
    if (there?.isDirectory()) throw Object.assign(new Error(), { code: 'EISDIR' });
    if (there?.isFile() === false) return await access(path, constants.W_OK);
    const parent = await stat(dirname(path));
    if (!parent.isDirectory()) throw Object.assign(new Error(), { code: 'ENOTDIR' });
    await access(dirname(path), constants.W_OK | constants.X_OK);
  } catch (error) {
    throw new ConfigError(`--output: ${fileFault(path, 'written', error)}`);
  }
}

/** Writes a body to its place. Returns its size in bytes. */
export async function writeBody(body: Readable, place: BodyPlace): Promise<number> {
  let bytes = 0;
  const counter = new PassThrough();
  counter.on('data', (chunk: Buffer) => {
    bytes += chunk.length;
  });
  if (place.kind === 'file') await writeFile(body, counter, place.path);
  else if (place.kind === 'standard output') await pipeline(body, counter, process.stdout, { end: false });
  else {
    await pipeline(body, counter, async (source: AsyncIterable<Buffer>) => {
      for await (const _ of source);
    });
  }
  return bytes;
}

async function writeFile(body: Readable, counter: PassThrough, path: string): Promise<void> {
  const there = await stat(path).catch(() => undefined);
  // Whoever put a file in the place of /dev/null would break more than this download.
  if (there?.isFile() === false) return pipeline(body, counter, createWriteStream(path));
  const partial = `${path}.part`;
  const file = createWriteStream(partial, { flags: 'wx' });
  const keep = new AbortController();
  file.once('open', () => dropOnSignal(partial, keep.signal));
  try {
    await pipeline(body, counter, file);
    await rename(partial, path);
  } catch (error) {
    if ((error as { code?: string }).code === 'EEXIST')
      throw new ConfigError(
        `--output: "${partial}" is there already: another keymux writes it, or was ended before it was done; then remove it`,
      );
    await rm(partial, { force: true });
    throw error;
  } finally {
    keep.abort();
  }
}

/** Removes a file if a signal ends the process, until `keep` is aborted. */
function dropOnSignal(file: string, keep: AbortSignal): void {
  for (const signal of ['SIGINT', 'SIGTERM'] as const) {
    const drop = (): void => {
      rmSync(file, { force: true });
      process.kill(process.pid, signal); // nobody listens any more, so it ends the process
    };
    process.once(signal, drop);
    keep.addEventListener('abort', () => process.off(signal, drop));
  }
}
