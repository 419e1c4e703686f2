import type { Duplex } from 'node:stream';
import { FrameDecoder, type FrontHello, HEAD_LENGTH, MAX_ADDRESS } from '@keymux/frames';

/** Longest FRONT_HELLO, in bytes (spec 10.5). */
const LONGEST = HEAD_LENGTH + 16 + MAX_ADDRESS;

/**
 * Reads the first frame of a front's link, and leaves the rest where it is. Resolves with undefined if it is another frame, or is not
 * there within `timeout` milliseconds; never rejects.
 */
export function readFrontHello(link: Duplex, timeout: number): Promise<FrontHello | undefined> {
  return new Promise((resolve) => {
    let held = Buffer.alloc(0);
    const done = (hello: FrontHello | undefined): void => {
      clearTimeout(late);
      link.off('readable', read);
      link.off('close', gone);
      resolve(hello);
    };
    const gone = (): void => done(undefined);
    const late = setTimeout(gone, timeout);
    const read = (): void => {
      for (let chunk = link.read() as Buffer | null; chunk !== null; chunk = link.read() as Buffer | null) {
        held = Buffer.concat([held, chunk]);
        const hello = helloIn(held);
        if (hello === undefined) continue;
        if (hello !== 'none') link.unshift(held.subarray(hello.length));
        done(hello === 'none' ? undefined : hello.frame);
        return;
      }
    };
    link.on('error', () => undefined); // `close` follows
    link.once('close', gone);
    link.once('end', gone);
    link.on('readable', read);
    read();
  });
}

/** The FRONT_HELLO that `bytes` begin with; undefined if it is not whole yet. */
function helloIn(bytes: Buffer): { frame: FrontHello; length: number } | 'none' | undefined {
  const length = bytes.length < HEAD_LENGTH ? LONGEST : HEAD_LENGTH + bytes.readUIntBE(5, 3);
  const decoder = new FrameDecoder({ place: 'link' });
  decoder.push(Uint8Array.from(bytes.subarray(0, Math.min(length, LONGEST))));
  try {
    const item = decoder.next();
    if (item === undefined) return length > LONGEST ? 'none' : undefined;
    return item.kind === 'control' && item.frame.type === 'front-hello'
      ? { frame: item.frame, length }
      : 'none';
  } catch {
    return 'none';
  }
}
