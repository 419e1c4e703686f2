import { usageError } from './errors.ts';
import type { KeptKey, Role } from './keeper.ts';
import { ANONYMOUS_LABEL, isAuthority, isLabel } from './offer.ts';
import type { PreSharedKey } from './pre-shared-key.ts';

export interface KeyUse {
  /** Names the key on the wire; by default the label derived from it. */
  readonly label?: string;
  /** Hosts that the key may speak for, exactly; '' lets it be a connection key (spec 3.4). */
  readonly authorities: readonly string[];
  /**
   * This side's part in runs with the key, by default both. One part only keeps a host that is client and server with the same key
   * from being connected to itself (Drucker and Gueron, "Selfie", 2019).
   */
  readonly roles?: readonly Role[];
}

interface Entry {
  readonly key: PreSharedKey;
  readonly authorities: ReadonlySet<string>;
  readonly roles: ReadonlySet<Role>;
}

/**
 * The long-term keys of a keeper, and what each may be used for. A label is an index into this table and nothing else:
 * nothing that a peer sends reaches a file name or an object's properties.
 */
export class Keyring {
  readonly #entries = new Map<string, Entry>();

  /** Adds a key; returns its label. Throws KeyError (usage) if the label or an authority cannot be used, or the label is taken. */
  add(key: PreSharedKey, use: KeyUse): string {
    const { label = key.label, authorities, roles = ['initiator', 'responder'] } = use;
    if (!isLabel(label)) throw usageError(`"${label}" is no label: 1 to 64 characters of a-z 0-9 . _ -`);
    if (label === ANONYMOUS_LABEL) throw usageError(`"${label}" is the label of keys that prove nobody`);
    if (this.#entries.has(label)) throw usageError(`there is a key labelled "${label}" already`);
    if (authorities.length === 0)
      throw usageError(`key "${label}" speaks for no authority; "" is the peer itself`);
    for (const authority of authorities) {
      if (!isAuthority(authority)) {
        throw usageError(`"${authority}" is no authority: up to 253 characters of a-z 0-9 . - :`);
      }
    }
    this.#entries.set(label, { key, authorities: new Set(authorities), roles: new Set(roles) });
    return label;
  }

  /** The key with this label, if it may be used for this authority in this role. */
  find(label: string, authority: string, role: Role): PreSharedKey | undefined {
    const entry = this.#entries.get(label);
    return entry?.authorities.has(authority) && entry.roles.has(role) ? entry.key : undefined;
  }

  /** Takes a key out. Established keys of sessions are not affected. */
  remove(label: string): boolean {
    return this.#entries.delete(label);
  }

  get labels(): readonly string[] {
    return [...this.#entries.keys()];
  }

  /** What there is a key for, without the keys. */
  get kept(): readonly KeptKey[] {
    return [...this.#entries].flatMap(([label, { authorities, roles }]) =>
      [...authorities].map((authority) => ({ label, authority, roles: [...roles], proves: 'key' as const })),
    );
  }
}
