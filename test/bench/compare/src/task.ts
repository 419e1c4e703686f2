import { once } from 'node:events';
import type { Duplex } from 'node:stream';

/**
 * What the client asks an origin for, on a byte stream of any kind: one byte that says what, six bytes that say how many bytes.
 *
 *     D  the origin sends as many, and ends
 *     U  the client sends as many; the origin answers with one byte when it has them, and ends
 *     E  whatever the client sends comes back, until it ends
 */
export type Task = 'D' | 'U' | 'E';

const HEAD = 7;
const BLOCK = Buffer.alloc(64 * 1024, 'keymux ');

export function taskHead(task: Task, bytes = 0): Buffer {
  const head = Buffer.alloc(HEAD);
  head.write(task, 'latin1');
  head.writeUIntBE(bytes, 1, HEAD - 1);
  return head;
}

/** The origin's part. Never rejects: a client that leaves is no event here. */
export async function serveTask(stream: Duplex): Promise<void> {
  stream.on('error', () => undefined);
  const head = await readHead(stream);
  if (head === undefined) return void stream.destroy();
  const bytes = head.readUIntBE(1, HEAD - 1);
  switch (String.fromCharCode(head[0] as number) as Task) {
    case 'D':
      stream.resume();
      return send(stream, bytes).then(() => void stream.end());
    case 'U':
      return receive(stream, bytes).then(
        () => void stream.end('.'),
        () => undefined,
      );
    case 'E':
      stream.pipe(stream);
  }
}

async function readHead(stream: Duplex): Promise<Buffer | undefined> {
  for (;;) {
    const head: Buffer | null = stream.read(HEAD);
    if (head !== null) return head.length === HEAD ? head : undefined;
    if (stream.readableEnded || stream.destroyed) return undefined;
    await once(stream, 'readable').catch(() => undefined);
  }
}

/** Sends that many bytes; stops if the stream is over before. */
export async function send(stream: Duplex, bytes: number): Promise<void> {
  for (let left = bytes; left > 0 && !stream.destroyed; ) {
    const block = left < BLOCK.length ? BLOCK.subarray(0, left) : BLOCK;
    left -= block.length;
    if (!stream.write(block)) await writable(stream);
  }
}

/** Resolves when the stream takes more, or never will. */
function writable(stream: Duplex): Promise<void> {
  return new Promise((resolve) => {
    const settle = (): void => {
      stream.off('drain', settle).off('close', settle);
      resolve();
    };
    stream.on('drain', settle).on('close', settle);
  });
}

/** Reads until that many bytes have come; rejects if the stream is over before. */
export function receive(stream: Duplex, bytes: number): Promise<void> {
  return new Promise((resolve, reject) => {
    let left = bytes;
    const failed = (error?: Error): void =>
      reject(error ?? new Error(`${left} of ${bytes} bytes are missing`));
    stream.on('data', (chunk: Uint8Array) => {
      left -= chunk.length;
      if (left <= 0) resolve();
    });
    stream.once('error', failed);
    stream.once('close', () => failed());
  });
}
