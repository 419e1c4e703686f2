import { encodeControl, encodeDataHead } from '@keymux/frames';
import { damaged } from '../checks.ts';
import type { Move } from './play.ts';

/** What arrives of bytes on their way when somebody changes them, or takes, repeats, exchanges or adds whole frames. */
export function attack(flight: Buffer<ArrayBuffer>, { which, key, damage, size }: Move): Buffer<ArrayBuffer> {
  const frames: Uint8Array[] = [];
  for (let at = 0; at + 8 <= flight.length; ) {
    const end = at + 8 + flight.readUIntBE(at + 5, 3);
    frames.push(flight.subarray(at, end));
    at = end;
  }
  const at = which % Math.max(1, frames.length);
  const frame = frames[at];
  switch (key) {
    case 0:
      return Buffer.from(damaged(flight, damage));
    case 1:
      frames.splice(at, 1);
      break;
    case 2:
      if (frame) frames.splice(at, 0, frame);
      break;
    case 3:
      frames.splice(at, 2, ...frames.slice(at, at + 2).reverse());
      break;
    default:
      frames.splice(at, 0, ...forged(1 + (which % 4), size));
  }
  return Buffer.concat(frames);
}

/** Frames in the clear that anybody can make. */
function forged(streamId: number, choice: number): Uint8Array[] {
  const data = (fin: boolean) => Buffer.concat([encodeDataHead(streamId, fin, 2), Buffer.from('no')]);
  const reset = encodeControl({ type: 'rst-stream', streamId, status: 5 });
  const update = encodeControl({ type: 'window-update', streamId, delta: 1000 });
  return [[data(false)], [data(false)], [data(true)], [reset], [update]][choice % 5] as Uint8Array[];
}
