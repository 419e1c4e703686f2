import { open, readFile } from 'node:fs/promises';

const PIECE = 16 * 1024 * 1024;

/** Secrets by name; each can have several forms. */
export type Secrets = ReadonlyMap<string, readonly Buffer[]>;

/** Which of the secrets stand in some bytes. */
export function findIn(bytes: Buffer, secrets: Secrets): string[] {
  return [...secrets].filter(([, forms]) => forms.some((form) => bytes.includes(form))).map(([name]) => name);
}

/**
 * Which of the secrets stand anywhere in the writable memory of a process, as somebody finds them who has broken into it. Undefined where it cannot
 * be searched: that takes Linux, and a process that this user may trace.
 */
export async function findInMemory(pid: number, secrets: Secrets): Promise<string[] | undefined> {
  const overlap = Math.max(...[...secrets.values()].flat().map(({ length }) => length));
  const found = new Set<string>();
  let searched = 0;
  try {
    const ranges = await writableRanges(pid);
    const memory = await open(`/proc/${pid}/mem`);
    try {
      const buffer = Buffer.alloc(PIECE + overlap);
      for (const [from, to] of ranges) {
        for (let at = from; at < to; at += PIECE) {
          // What was unmapped meanwhile, or is backed by nothing, reads as nothing.
          const read = memory.read(buffer, 0, Math.min(buffer.length, to - at), at);
          const { bytesRead } = await read.catch(() => ({ bytesRead: 0 }));
          for (const name of findIn(buffer.subarray(0, bytesRead), secrets)) found.add(name);
          searched += bytesRead;
        }
      }
    } finally {
      await memory.close();
    }
  } catch {
    return undefined;
  }
  return searched > 0 ? [...found] : undefined;
}

async function writableRanges(pid: number): Promise<[from: number, to: number][]> {
  const maps = await readFile(`/proc/${pid}/maps`, 'utf8');
  return [...maps.matchAll(/^([0-9a-f]+)-([0-9a-f]+) rw/gm)].map(([, from = '', to = '']) => [
    Number.parseInt(from, 16),
    Number.parseInt(to, 16),
  ]);
}
