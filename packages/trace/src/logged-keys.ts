import { type KeyLogEntry, openLogged, type ReceiveKey } from '@keymux/keys';

/** The keys of one direction that a key log has, found by what they open. */
export class LoggedKeys {
  readonly #entries: readonly KeyLogEntry[];
  /** By key ID and generation; undefined where no entry fits. */
  readonly #found = new Map<string, ReceiveKey | undefined>();

  constructor(entries: readonly KeyLogEntry[]) {
    this.#entries = entries;
  }

  /** The plaintext of the next envelope of a key; undefined if the log has no key for it. */
  open(keyId: number, generation: number, head: Uint8Array, body: Uint8Array): Uint8Array | undefined {
    const name = `${keyId} ${generation}`;
    if (this.#found.has(name)) return attempt(this.#found.get(name), head, body);
    // A log can be of several sessions, in which an ID means different keys: the first envelope tells which.
    for (const entry of this.#entries) {
      if (entry.keyId !== keyId || entry.generation !== generation) continue;
      const key = openLogged(entry);
      const plaintext = attempt(key, head, body);
      if (plaintext === undefined) continue;
      this.#found.set(name, key);
      return plaintext;
    }
    this.#found.set(name, undefined);
    return undefined;
  }
}

function attempt(key: ReceiveKey | undefined, head: Uint8Array, body: Uint8Array): Uint8Array | undefined {
  try {
    return key?.open(head, body);
  } catch {
    return undefined; // then it stays closed: an opener that has failed fails for ever
  }
}
