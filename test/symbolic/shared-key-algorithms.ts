import { hybrid } from './algorithms/hybrid.ts';
import { psk } from './algorithms/psk.ts';
import { pskX25519 } from './algorithms/psk-x25519.ts';
import { spiped } from './algorithms/spiped.ts';

/** ALG 1, 2, 3 and 6. */
export const SHARED_KEY_ALGORITHMS = [psk, spiped, pskX25519, hybrid];
