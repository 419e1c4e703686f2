import { open, readFile } from 'node:fs/promises';

const PIECE = 16 * 1024 * 1024;

/** Which of the texts or bytes stand anywhere in the writable memory of a process, in one piece. */
export async function foundInMemory(
  pid: number,
  needles: Readonly<Record<string, Uint8Array | string>>,
): Promise<string[]> {
  const wanted = Object.entries(needles).map(([name, bytes]) => [name, Buffer.from(bytes)] as const);
  const overlap = Math.max(...wanted.map(([, bytes]) => bytes.length));
  const found = new Set<string>();
  const memory = await open(`/proc/${pid}/mem`);
  try {
    for (const [from, to] of await writableRanges(pid)) {
      for (let at = from; at < to; at += PIECE) {
        const piece = await readAt(memory, at, Math.min(PIECE + overlap, to - at));
        for (const [name, bytes] of wanted) if (piece.includes(bytes)) found.add(name);
      }
    }
  } finally {
    await memory.close();
  }
  return [...found].sort();
}

async function writableRanges(pid: number): Promise<[number, number][]> {
  const maps = await readFile(`/proc/${pid}/maps`, 'utf8');
  return [...maps.matchAll(/^([0-9a-f]+)-([0-9a-f]+) rw/gm)].map(([, from = '', to = '']) => [
    Number.parseInt(from, 16),
    Number.parseInt(to, 16),
  ]);
}

/** What was unmapped meanwhile, or is not backed, reads as nothing. */
async function readAt(memory: Awaited<ReturnType<typeof open>>, at: number, length: number): Promise<Buffer> {
  const buffer = Buffer.alloc(length);
  const { bytesRead } = await memory.read(buffer, 0, length, at).catch(() => ({ bytesRead: 0 }));
  return buffer.subarray(0, bytesRead);
}
