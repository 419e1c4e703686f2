import { stat } from 'node:fs/promises';
import { dirname } from 'node:path';
import { createKeyFile } from '@keymux/keys';
import { ConfigError } from '../errors.ts';
import type { Output } from '../output.ts';

/** `keymux keygen FILE` */
export async function keygen(file: string, output: Output): Promise<void> {
  const directory = dirname(file);
  if (!(await stat(directory).catch(() => undefined))?.isDirectory())
    throw new ConfigError(`directory ${directory} does not exist; make it first`);
  const { key } = await createKeyFile(file);
  output.log(
    { event: 'created', file, label: key.label },
    `wrote ${file} (32 random bytes, readable by you only), label ${key.label}\n` +
      'Copy it to the other side over a channel you trust, for example scp. Who has it can use it.',
  );
}
