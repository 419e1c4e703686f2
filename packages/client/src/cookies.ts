import type { HeaderList } from '@keymux/frames';
import type { Protection } from '@keymux/streams';
import { CookieParts, cookieFileSchema, type StoredCookies } from './cookie-parts.ts';
import { StateFile } from './state-file.ts';

const EMPTY: StoredCookies = { version: 1, parts: [] };

/** What a cookie is sent to, or comes from. */
export interface CookiePlace {
  /** Lower case, without a port. */
  readonly hostname: string;
  readonly path: string;
}

/**
 * A cookie jar in which each cookie keeps what protected the answer that it was learned from (spec 9.9). It goes back to the same host only, and only on streams
 * that are as strong; an answer that is weaker neither changes nor removes it.
 */
export class Cookies {
  readonly #file: StateFile<StoredCookies> | undefined;
  #parts: CookieParts;

  private constructor(file: StateFile<StoredCookies> | undefined, stored: StoredCookies) {
    this.#file = file;
    this.#parts = new CookieParts(stored);
  }

  /** One that is forgotten with this process. */
  static inMemory(): Cookies {
    return new Cookies(undefined, EMPTY);
  }

  /** Rejects with KeyError ERR_KEYMUX_TRUST_FILE or StateFileError if the file may not be used; one that does not exist is made when needed. */
  static async open(path: string): Promise<Cookies> {
    const schema = cookieFileSchema;
    const file = new StateFile(path, { what: 'cookie jar', forbidden: 0o077, schema, empty: EMPTY });
    return new Cookies(file, await file.read());
  }

  /** The value of the header `cookie` for a request that is protected so; undefined if there is none. */
  headerFor(place: CookiePlace, request: Protection): string | undefined {
    return this.#parts.headerFor(place, request);
  }

  /**
   * Takes note of the cookies that an answer with such a head sets. Resolves when they are on the disk. Rejects as `open` does, and if the file cannot be
   * written. What is no cookie, too large, or weaker than what is there is passed over.
   */
  async learn(place: CookiePlace, headers: HeaderList, head: Protection): Promise<void> {
    const lines = headers.filter(([name]) => name === 'set-cookie').map(([, value]) => value);
    if (lines.length === 0) return;
    if (this.#file === undefined) {
      this.#parts.set(place, lines, head);
      return;
    }
    const stored = await this.#file.update((content) => {
      const parts = new CookieParts(content);
      parts.set(place, lines, head);
      return parts.toStored();
    });
    this.#parts = new CookieParts(stored);
  }
}
