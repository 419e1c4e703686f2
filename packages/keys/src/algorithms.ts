import { ALGORITHM } from './algorithm-ids.ts';
import { anonymous } from './algorithms/anonymous.ts';
import { hybrid } from './algorithms/hybrid.ts';
import { psk } from './algorithms/psk.ts';
import { pskX25519 } from './algorithms/psk-x25519.ts';
import { signed } from './algorithms/signed.ts';
import { spiped } from './algorithms/spiped.ts';
import type { Algorithm } from './handshake.ts';

/** Every negotiation method that this version has, by ALG_ID. */
export const ALGORITHMS: ReadonlyMap<number, Algorithm> = new Map<number, Algorithm>([
  [ALGORITHM.PSK, psk],
  [ALGORITHM.SPIPED, spiped],
  [ALGORITHM.PSK_X25519, pskX25519],
  [ALGORITHM.SIGNED, signed],
  [ALGORITHM.ANONYMOUS, anonymous],
  [ALGORITHM.HYBRID, hybrid],
]);
