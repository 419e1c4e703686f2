/** ALG_IDs of this version (spec 3.7 to 3.13). */
export const ALGORITHM = { PSK: 1, SPIPED: 2, PSK_X25519: 3, SIGNED: 4, ANONYMOUS: 5, HYBRID: 6 } as const;

/** Names of the ALG_IDs, as people write them. */
const IDS = {
  psk: ALGORITHM.PSK,
  spiped: ALGORITHM.SPIPED,
  'psk-x25519': ALGORITHM.PSK_X25519,
  signed: ALGORITHM.SIGNED,
  anonymous: ALGORITHM.ANONYMOUS,
  hybrid: ALGORITHM.HYBRID,
} as const;

export type AlgorithmName = keyof typeof IDS;

export const ALGORITHM_NAMES = Object.keys(IDS) as readonly AlgorithmName[];

/**
 * What to negotiate with a shared key, best first (spec 3.9). All prove the peer and give forward secrecy; `psk`, which does
 * not, is used only where it is asked for.
 */
export const SHARED_KEY_PREFERENCE: readonly number[] = [
  ALGORITHM.PSK_X25519,
  ALGORITHM.HYBRID,
  ALGORITHM.SPIPED,
];

export function algorithmId(name: AlgorithmName): number {
  return IDS[name];
}

/** The algorithm's name, for people. */
export function algorithmName(id: number): string {
  return ALGORITHM_NAMES.find((name) => IDS[name] === id) ?? `algorithm ${id}`;
}
