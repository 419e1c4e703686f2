import crypto, { type KeyObject } from 'node:crypto';
import { syncBuiltinESMExports } from 'node:module';
import type { Scope } from './scope.ts';

/** Writes down every key and nonce that this process seals with, from now to the end of the test. */
export function recordNonces(scope: Pick<Scope, 'defer'>): string[] {
  const used: string[] = [];
  const { createCipheriv } = crypto;
  const record = (algorithm: string, key: KeyObject, iv: Uint8Array, options: object) => {
    used.push(`${key.export().toString('hex')} ${Buffer.from(iv).toString('hex')}`);
    return createCipheriv(algorithm as 'aes-256-gcm', key, iv, options);
  };
  const install = (function_: unknown): void => {
    Object.assign(crypto, { createCipheriv: function_ });
    syncBuiltinESMExports();
  };
  install(record);
  scope.defer(() => install(createCipheriv));
  return used;
}
