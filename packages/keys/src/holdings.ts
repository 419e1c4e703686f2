import { ALGORITHM, algorithmName } from './algorithm-ids.ts';
import { ALGORITHMS } from './algorithms.ts';
import { usageError } from './errors.ts';
import type { Identities, IdentityEntry } from './identity/identities.ts';
import type { KeptKey, Offer, Role } from './keeper.ts';
import type { Keyring } from './keyring.ts';
import { ANONYMOUS_LABEL } from './offer.ts';
import type { PreSharedKey } from './pre-shared-key.ts';

/** The long-term keys of a keeper, and what it may do with them. */
export interface KeeperHoldings {
  readonly keyring: Keyring;
  /** ALG_IDs that may be used with the keys of the keyring, in either role; by default all of this version. */
  readonly algorithms?: Iterable<number>;
  /**
   * Authorities for which keys may be made that prove nobody (ALG 5), in either role; '' is the peer itself. Without any, which is the
   * default, ALG 5 is not allowed.
   */
  readonly anonymous?: Iterable<string>;
  /** Who this side can prove to be, and whom it trusts for it. Without any, which is the default, ALG 4 is not allowed. */
  readonly identities?: Identities | undefined;
}

/** `KeeperHoldings`, checked. */
export class Holdings {
  readonly #keyring: Keyring;
  readonly #anonymous: ReadonlySet<string>;
  readonly #identities: Identities | undefined;
  readonly algorithms: readonly number[];

  /** Throws KeyError (usage) if an algorithm does not exist, or has nothing that it could be used for. */
  constructor({ keyring, algorithms, anonymous, identities }: KeeperHoldings) {
    this.#keyring = keyring;
    this.#anonymous = new Set(anonymous);
    this.#identities = identities;
    this.algorithms = allowedAlgorithms(algorithms, {
      [ALGORITHM.ANONYMOUS]: this.#anonymous.size > 0,
      [ALGORITHM.SIGNED]: identities !== undefined,
    });
  }

  get kept(): readonly KeptKey[] {
    const nobody = [...this.#anonymous].map((authority): KeptKey => {
      return { label: ANONYMOUS_LABEL, authority, roles: ['initiator', 'responder'], proves: 'nobody' };
    });
    return [...this.#keyring.kept, ...(this.#identities?.kept ?? []), ...nobody];
  }

  /** Of the keys of the keyring. */
  get labels(): readonly string[] {
    return this.#keyring.labels;
  }

  preSharedKey({ label, authority }: Offer, role: Role): PreSharedKey | undefined {
    return this.#keyring.find(label, authority, role);
  }

  identity({ label, authority }: Offer, role: Role): IdentityEntry | undefined {
    return this.#identities?.find(label, authority, role);
  }

  mayBeAnonymous(authority: string): boolean {
    return this.#anonymous.has(authority);
  }
}

/** What `algorithms` and the other options allow, ascending. Throws KeyError (usage). */
function allowedAlgorithms(
  ids: Iterable<number> | undefined,
  /** Algorithms that work with something else than the keyring, and whether it is there. */
  separate: Readonly<Record<number, boolean>>,
): readonly number[] {
  const allowed = new Set(ids ?? [...ALGORITHMS.keys()].filter((id) => !(id in separate)));
  for (const id of allowed) {
    if (!ALGORITHMS.has(id)) throw usageError(`there is no negotiation algorithm ${id} in this version`);
    if (separate[id] === false)
      throw usageError(`${algorithmName(id)} is allowed, but nothing that it could be used for`);
  }
  for (const [id, present] of Object.entries(separate)) if (present) allowed.add(Number(id));
  return [...allowed].sort((a, b) => a - b);
}
