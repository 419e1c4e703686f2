import { openSync, writeSync } from 'node:fs';
import type { AuditEntry } from '@keymux/keeper';
import { ConfigError } from './errors.ts';

/** A file to which every entry is added before anything else happens, as a JSON object a line. */
export class AuditLog {
  readonly #file: number;

  /** Throws ConfigError. */
  constructor(path: string) {
    try {
      this.#file = openSync(path, 'a', 0o600);
    } catch (error) {
      throw new ConfigError(`--audit-log ${path} cannot be written`, { cause: error });
    }
  }

  /** Throws the system's error. */
  write(entry: AuditEntry): void {
    writeSync(this.#file, `${JSON.stringify({ time: new Date().toISOString(), ...entry })}\n`);
  }
}
