import type { Passing, Wire } from './middle.ts';
import { extract, generationKeys, H, longTermKeys, t0 } from './reference-keys.ts';

/** The digest of a direction before a frame (spec 3.6). */
function digestBefore({ seen }: Wire, frame: Passing): Buffer {
  const earlier = seen.slice(0, seen.indexOf(frame)).filter(({ way }) => way === frame.way);
  return H(
    ...earlier.map(({ type, bytes }) => {
      if (type === 'sealed') return bytes.subarray(0, 10);
      return type === 'data' ? bytes.subarray(0, 8) : bytes;
    }),
  );
}

/**
 * The keys of a recorded run of two messages, key 1, for who has the key file and assumes `secret` for what only the two sides know. With
 * ALG 1 they know nothing else, and these are the keys.
 */
export function recordedKeys(wire: Wire, keyFile: Buffer, secret: (Kpsk: Buffer) => Buffer = (Kpsk) => Kpsk) {
  const [first] = wire.sent('up', 'key-nego') as [Passing];
  const [answer] = wire.sent('down', 'key-nego') as [Passing];
  const T0 = t0({ keyFile, label: '', authority: '', offer: 0, depth: 0, initiator: 'client', keyId: 1 });
  const S = extract(H(H(T0, first.bytes), answer.bytes), secret(longTermKeys(keyFile).Kpsk));
  const digests = [digestBefore(wire, first), digestBefore(wire, answer)] as const;
  return { S, of: (generation: number) => generationKeys(S, generation, ...digests) };
}
