import { Duplex } from 'node:stream';
import { setImmediate as turn } from 'node:timers/promises';
import { expect, test } from 'vitest';
import { BLOCK, copyOf } from '../src/blocks.ts';
import { joinStreams } from '../src/tunnel.ts';

type Bring = (chunk: Uint8Array, lent: boolean) => void;

interface Write {
  readonly chunk: Uint8Array;
  readonly taken: (error?: Error) => void;
}

/** Two streams that are joined. What `bring` is given is lent; `writes` has what the other end was given. */
function joined(): { bring: (chunk: Uint8Array) => void; writes: Write[] } {
  const writes: Write[] = [];
  let bring: Bring | undefined;
  const lender = Object.assign(new Duplex({ read: () => undefined, write: () => undefined }), {
    lend: (to: Bring) => {
      bring = to;
    },
  });
  const other = new Duplex({
    read: () => undefined,
    write: (chunk: Uint8Array, _encoding: BufferEncoding, taken: Write['taken']) =>
      void writes.push({ chunk, taken }),
  });
  joinStreams(lender, other);
  return { bring: (chunk) => bring?.(chunk, true), writes };
}

const block = (fill: number): Uint8Array => new Uint8Array(BLOCK).fill(fill);

test('what was lent is written as a copy, whose memory is used again when it has been taken', async () => {
  const { bring, writes } = joined();
  const lent = block(1);
  bring(lent);
  lent.fill(2);
  const [write] = writes as [Write];
  expect(Buffer.compare(write.chunk, block(1))).toBe(0);
  write.taken();
  await turn();
  expect(copyOf(block(3)).buffer).toBe(write.chunk.buffer);
});

test('memory that could not be written is not used again, as somebody may still have it', async () => {
  const { bring, writes } = joined();
  bring(block(1));
  const [write] = writes as [Write];
  write.taken(new Error('cut'));
  await turn();
  expect(copyOf(block(3)).buffer).not.toBe(write.chunk.buffer);
  expect(Buffer.compare(write.chunk, block(1))).toBe(0);
});
