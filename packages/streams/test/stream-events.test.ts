import { duplexPair } from 'node:stream';
import { setImmediate } from 'node:timers/promises';
import { encodeControl, encodeHeaderBlock, HeaderCompressor, RST } from '@keymux/frames';
import { describe, expect, it } from 'vitest';
import { MuxSession, type MuxStream } from '../src/index.ts';

/** A server's session, and the hand of a client that writes frames to it. */
function server(config = {}): { session: MuxSession; write: (...frames: Uint8Array[]) => void } {
  const [near, far] = duplexPair();
  near.resume();
  return {
    session: new MuxSession(far, { role: 'server', config }),
    write: (...frames) => near.write(Buffer.concat(frames)),
  };
}

/** SYN_STREAMs of one session. */
function opener(): (streamId: number, unidirectional?: boolean) => Uint8Array {
  const compressor = new HeaderCompressor();
  return (streamId, unidirectional = false) =>
    encodeControl({
      ...{ type: 'syn-stream', streamId, associatedId: 0, priority: 3, slot: 0, fin: true },
      ...{ unidirectional, payloadOutside: false },
      block: compressor.compress(encodeHeaderBlock([['a', 'b']])),
    });
}

const reset = (streamId: number): Uint8Array =>
  encodeControl({ type: 'rst-stream', streamId, status: RST.CANCEL });

describe('the event of a stream', () => {
  it('never comes inside that of another, whatever is done with the stream', async () => {
    const { session, write } = server();
    const syn = opener();
    let [depth, most, count] = [0, 0, 0];
    session.on('stream', (stream) => {
      most = Math.max(most, ++depth);
      count++;
      stream.destroy();
      depth--;
    });
    write(...[1, 3, 5, 7].map((id) => syn(id)));
    while (count < 4) await setImmediate();
    expect(most).toBe(1);
  });

  it('does not come for a stream that was reset before anybody could see it', async () => {
    const { session, write } = server();
    const syn = opener();
    const seen: number[] = [];
    session.on('stream', ({ id }) => seen.push(id));
    write(syn(1), reset(1), syn(3));
    while (seen.length === 0) await setImmediate();
    expect(seen).toEqual([3]);
  });

  it('comes for one that wants no answer, though it is over by then', async () => {
    const { session, write } = server();
    const syn = opener();
    const seen: MuxStream[] = [];
    session.on('stream', (stream) => seen.push(stream));
    write(syn(1, true));
    while (seen.length === 0) await setImmediate();
    expect(seen[0]).toMatchObject({ id: 1, unidirectional: true });
  });
});

describe('streams that are held back', () => {
  it('are told of later, in their order, but for those that were reset meanwhile', async () => {
    const { session, write } = server();
    const syn = opener();
    const seen: (number | 'held')[] = [];
    session.on('stream', ({ id }) => seen.push(id)).on('held', () => seen.push('held'));
    session.holdStreams();
    write(syn(1), syn(3), syn(5));
    while (seen.length < 3) await setImmediate();
    write(reset(3));
    while (session.streamCount > 2) await setImmediate();
    session.tellStreams();
    expect(seen).toEqual(['held', 'held', 'held', 1, 5]);
    write(syn(7));
    while (seen.length < 6) await setImmediate();
    expect(seen.at(-1)).toBe(7);
  });
});

describe('holdUntil', () => {
  it.each<[string, (end: () => void, fail: (error: Error) => void) => void]>([
    ['has ended', (end) => end()],
    ['has failed', (_end, fail) => fail(new Error('handler'))],
  ])('keeps a reset stream counted until its handling %s', async (_how, settle) => {
    const { session, write } = server({ maxConcurrentStreams: 1 });
    const syn = opener();
    const seen: number[] = [];
    let settled: () => void = () => undefined;
    session.on('stream', (stream) => {
      seen.push(stream.id);
      stream.holdUntil(
        new Promise<void>((resolve, reject) => {
          settled = () => settle(resolve, reject);
        }),
      );
    });
    write(syn(1));
    while (seen.length === 0) await setImmediate();
    write(reset(1), syn(3)); // refused
    await setImmediate();
    settled();
    await setImmediate();
    write(syn(5));
    while (seen.length === 1) await setImmediate();
    expect(seen).toEqual([1, 5]);
  });
});
