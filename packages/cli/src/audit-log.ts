import { closeSync, openSync, writeSync } from 'node:fs';
import type { AuditEntry } from '@keymux/keeper';
import { ConfigError } from './errors.ts';

/** A file to which every entry is added before anything else happens, as a JSON object a line. */
export class AuditLog {
  readonly #path: string;
  #file: number;

  /** Throws ConfigError. */
  constructor(path: string) {
    this.#path = path;
    this.#file = open(path);
  }

  /** Goes on in the file that has the name now: who rotates logs has given the old one another. Throws ConfigError, and then goes on in the old one. */
  reopen(): void {
    const before = this.#file;
    this.#file = open(this.#path);
    closeSync(before);
  }

  /** Throws the system's error, and one if there is no room for all of it. */
  write(entry: AuditEntry): void {
    const line = Buffer.from(`${JSON.stringify({ time: new Date().toISOString(), ...entry })}\n`);
    if (writeSync(this.#file, line) !== line.length)
      throw new Error('only a part of an entry could be written');
  }
}

function open(path: string): number {
  try {
    return openSync(path, 'a', 0o600);
  } catch (error) {
    throw new ConfigError(`--audit-log ${path} cannot be written`, { cause: error });
  }
}
