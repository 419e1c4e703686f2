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

  /** Throws the system's error. */
  write(entry: AuditEntry): void {
    writeSync(this.#file, `${JSON.stringify({ time: new Date().toISOString(), ...entry })}\n`);
  }
}

function open(path: string): number {
  try {
    return openSync(path, 'a', 0o600);
  } catch (error) {
    throw new ConfigError(`--audit-log ${path} cannot be written`, { cause: error });
  }
}
