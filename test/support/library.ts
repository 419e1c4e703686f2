import { text } from 'node:stream/consumers';
import { Client, type Response } from '@keymux/client';
import { Keyring, type KeyUse, LocalKeeper, readKeyFile } from '@keymux/keys';
import type { Scope } from './scope.ts';

/** A keeper in this process with the keys of these files. */
export async function keeperOf(
  ...uses: readonly (KeyUse & { readonly file: string })[]
): Promise<{ keeper: LocalKeeper; labels: string[] }> {
  const keyring = new Keyring();
  const labels: string[] = [];
  for (const { file, ...use } of uses) labels.push(keyring.add((await readKeyFile(file)).key, use));
  return { keeper: new LocalKeeper({ keyring }), labels };
}

/** A library client that is gone when the test is. */
export async function connectClient(
  scope: Scope,
  address: string,
  options: Parameters<typeof Client.connect>[1] = {},
): Promise<Client> {
  const client = await Client.connect(address, options);
  scope.defer(() => client.session.destroy());
  return client;
}

export function bodyOf(response: Response): Promise<string> {
  return text(response.body);
}
