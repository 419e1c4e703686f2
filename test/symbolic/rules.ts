/** The rules of spec chapter 3 that can be left out, to see what each of them is there for. */
export interface Rules {
  /** A side refuses nonces and public values of its own runs (3.7, 3.8, 3.10). */
  readonly ownValues: boolean;
  /** T_0 says which side of the session began the run (3.5). */
  readonly initiator: boolean;
  /** Tags, signatures and secrets cover everything that was sent (3.5), and not only nonces and public values. */
  readonly transcript: boolean;
  /** The keys depend on what both sides sent before the run (3.5, 3.6). */
  readonly digests: boolean;
  /** ALG 4: each identity is under a MAC with a key from the run's secret (SIGMA). */
  readonly identityMac: boolean;
  /** ALG 4: proofs of identity travel sealed (the I of SIGMA-I). */
  readonly sealedProofs: boolean;
  /** ALG 4: the initiator signs the responder's identity too. */
  readonly signsPeer: boolean;
}

export const ALL_RULES: Rules = {
  ownValues: true,
  initiator: true,
  transcript: true,
  digests: true,
  identityMac: true,
  sealedProofs: true,
  signsPeer: true,
};

export function without(...names: readonly (keyof Rules)[]): Rules {
  return { ...ALL_RULES, ...Object.fromEntries(names.map((name) => [name, false])) };
}
