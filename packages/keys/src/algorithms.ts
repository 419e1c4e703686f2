import { psk } from './algorithms/psk.ts';
import { spiped } from './algorithms/spiped.ts';
import type { Algorithm } from './handshake.ts';

/** ALG_IDs of this version (spec 3.7, 3.8). 3 to 6 are reserved. */
export const ALGORITHM = { PSK: 1, SPIPED: 2 } as const;

/** Every negotiation method that this version has, by ALG_ID. */
export const ALGORITHMS: ReadonlyMap<number, Algorithm> = new Map<number, Algorithm>([
  [ALGORITHM.PSK, psk],
  [ALGORITHM.SPIPED, spiped],
]);

/** The method's name, for people. */
export function algorithmName(id: number): string {
  return ALGORITHMS.get(id)?.name ?? `algorithm ${id}`;
}
