import { inspect } from 'node:util';
import { secretBytes } from './bytes.ts';
import { usageError } from './errors.ts';
import type { StateSink, StateSource } from './state-port.ts';

/**
 * Bytes that must not be printed, serialized or left behind. They lie in memory of their own (`secretBytes`), and every way of turning the object into text gives `[Secret]`.
 */
export class Secret {
  readonly length: number;
  #bytes: Buffer | undefined;

  private constructor(bytes: Buffer) {
    this.#bytes = bytes;
    this.length = bytes.length;
  }

  /** Takes over `bytes`: they are copied, and zeroed in the place they came from. */
  static take(bytes: Uint8Array): Secret {
    const own = secretBytes(bytes.length);
    own.set(bytes);
    bytes.fill(0);
    return new Secret(own);
  }

  /** Lends the bytes to `reader`, which must not keep them. Throws KeyError (usage) after `wipe`. */
  use<T>(reader: (bytes: Uint8Array) => T): T {
    if (this.#bytes === undefined) throw usageError('a secret was used after it was wiped');
    return reader(this.#bytes);
  }

  /** Writes the bytes for the next owner of a session (spec 13.5). */
  save(writer: StateSink): void {
    this.use((bytes) => writer.raw(bytes));
  }

  /** A secret of 32 bytes. */
  static load(reader: StateSource): Secret {
    return Secret.take(reader.raw(32));
  }

  get wiped(): boolean {
    return this.#bytes === undefined;
  }

  /** Zeroes the bytes. May be called again. */
  wipe(): void {
    this.#bytes?.fill(0);
    this.#bytes = undefined;
  }

  toString(): string {
    return '[Secret]';
  }

  toJSON(): string {
    return '[Secret]';
  }

  [inspect.custom](): string {
    return '[Secret]';
  }
}
