import { mkdir } from 'node:fs/promises';
import { dirname } from 'node:path';
import { type OwnedFileRules, readOwnedFile } from '@keymux/keys';
import { lock } from 'proper-lockfile';
import writeFileAtomic from 'write-file-atomic';
import type { z } from 'zod';

/** A file that what must be remembered cannot be read from, or written to. */
export class StateFileError extends Error {
  override readonly name = 'StateFileError';
  readonly code = 'ERR_KEYMUX_STATE_FILE';
}

const STALE_LOCK = 10_000;
/** About three seconds in all. */
const RETRIES = { retries: 30, minTimeout: 10, maxTimeout: 150 };

/**
 * What several processes remember in one JSON file. A file that does not exist is empty. One that is damaged, or that others can change, is an error and
 * never an empty one: what was remembered must not be lost by breaking it.
 */
export class StateFile<T> {
  readonly path: string;
  readonly #schema: z.ZodType<T>;
  readonly #rules: OwnedFileRules;
  readonly #empty: T;

  /** `what` is for messages: `host memory`. `forbidden` are the mode bits that the file must not have. */
  constructor(
    path: string,
    options: {
      readonly what: string;
      readonly forbidden: number;
      readonly schema: z.ZodType<T>;
      readonly empty: T;
    },
  ) {
    const { what, forbidden, schema, empty } = options;
    this.path = path;
    this.#schema = schema;
    this.#empty = empty;
    this.#rules = { what, forbidden, code: 'ERR_KEYMUX_TRUST_FILE', most: 16 * 1024 * 1024 };
  }

  /** Rejects with KeyError ERR_KEYMUX_TRUST_FILE if it may not be used, StateFileError if it is damaged. */
  async read(): Promise<T> {
    const text = await this.#text();
    if (text === undefined) return this.#empty;
    try {
      return this.#schema.parse(JSON.parse(text));
    } catch (cause) {
      const { what } = this.#rules;
      throw new StateFileError(
        `the ${what} ${this.path} is damaged, so nothing is known to be safe. Restore it, or delete it to forget what it says`,
        { cause },
      );
    }
  }

  /**
   * Replaces the content by what `change` makes of it, at once and whole, readable by this user only. Nobody else changes it meanwhile. Rejects as `read`
   * does, and with StateFileError if it cannot be written.
   */
  async update(change: (content: T) => T): Promise<T> {
    const release = await this.#lock();
    try {
      const content = change(await this.read());
      await writeFileAtomic(this.path, `${JSON.stringify(content, undefined, 2)}\n`, { mode: 0o600 }).catch(
        (cause: unknown) => this.#fail(cause),
      );
      return content;
    } finally {
      await release();
    }
  }

  async #lock(): Promise<() => Promise<void>> {
    try {
      await mkdir(dirname(this.path), { recursive: true, mode: 0o700 });
      // What was locked is written at once; a lock that was lost meanwhile is worth no crash.
      const onCompromised = (): void => undefined;
      return await lock(this.path, { realpath: false, stale: STALE_LOCK, retries: RETRIES, onCompromised });
    } catch (cause) {
      return this.#fail(cause);
    }
  }

  async #text(): Promise<string | undefined> {
    try {
      return (await readOwnedFile(this.path, this.#rules)).toString('utf8');
    } catch (error) {
      if (((error as Error).cause as NodeJS.ErrnoException | undefined)?.code === 'ENOENT') return undefined;
      throw error;
    }
  }

  #fail(cause: unknown): never {
    const { code } = cause as NodeJS.ErrnoException;
    const { what } = this.#rules;
    throw new StateFileError(
      `the ${what} ${this.path} cannot be written (${code ?? 'unknown error'}); what must be remembered would be forgotten. ` +
        'Make its directory writable, or name another file',
      { cause },
    );
  }
}
