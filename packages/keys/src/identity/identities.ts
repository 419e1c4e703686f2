import { usageError } from '../errors.ts';
import type { KeptKey, Role } from '../keeper.ts';
import { isAuthority, isLabel } from '../offer.ts';
import type { Signer } from './signer.ts';
import type { Trust } from './trust.ts';

/** The label that runs with identities have if nobody chooses another: it names the relation, not a person. */
export const SIGNED_LABEL = 'signed';

export interface IdentityUse {
  /** Names the use on the wire; `signed` by default. */
  readonly label?: string;
  /**
   * Hosts that keys made with it may speak for, exactly; or `['']`, the peer that ends the session itself. Not both: a relay is authenticated as
   * a service, a host as a principal, and each has a trust list of its own.
   */
  readonly authorities: readonly string[];
  /** This side's part in runs, by default both. */
  readonly roles?: readonly Role[];
  /** Who may be at the other end. */
  readonly trust: Trust;
}

export interface IdentityEntry {
  readonly signer: Signer;
  readonly trust: Trust;
}

/** The identities of a keeper: which one to prove to whom, and whom to trust for it. */
export class Identities {
  readonly #entries = new Map<string, IdentityEntry & { readonly roles: ReadonlySet<Role> }>();

  /** Throws KeyError (usage) if label or authorities break their rules, or are taken. */
  add(signer: Signer, use: IdentityUse): void {
    const { label = SIGNED_LABEL, authorities, roles = ['initiator', 'responder'], trust } = use;
    if (!isLabel(label)) throw usageError(`"${label}" is no label: 1 to 64 characters of a-z 0-9 . _ -`);
    if (authorities.length === 0)
      throw usageError('an identity without authority is of no use; "" is the peer itself');
    if (authorities.includes('') && authorities.some((authority) => authority !== '')) {
      throw usageError(
        'the peer itself and hosts need separate uses of an identity, each with its own trust list',
      );
    }
    for (const authority of authorities) {
      if (!isAuthority(authority)) {
        throw usageError(`"${authority}" is no authority: up to 253 characters of a-z 0-9 . - :`);
      }
      if (this.#entries.has(name(label, authority))) {
        throw usageError(`there is an identity for "${label}" and "${authority}" already`);
      }
    }
    const entry = { signer, trust, roles: new Set(roles) };
    for (const authority of authorities) this.#entries.set(name(label, authority), entry);
  }

  /** What is used for this label, authority and role. */
  find(label: string, authority: string, role: Role): IdentityEntry | undefined {
    const entry = this.#entries.get(name(label, authority));
    return entry?.roles.has(role) ? entry : undefined;
  }

  /** What there is an identity for. */
  get kept(): readonly KeptKey[] {
    return [...this.#entries].map(([key, { roles }]) => {
      const [label = '', authority = ''] = key.split(' ');
      return { label, authority, roles: [...roles], proves: 'identity' };
    });
  }

  get size(): number {
    return this.#entries.size;
  }
}

/** A label has no blank in it. */
function name(label: string, authority: string): string {
  return `${label} ${authority}`;
}
