import { createKeyFile } from '@keymux/keys';
import type { Output } from '../output.ts';

/** `keymux keygen FILE` */
export async function keygen(file: string, output: Output): Promise<void> {
  const { key } = await createKeyFile(file);
  output.log(
    { event: 'created', file, label: key.label },
    `wrote ${file} (32 random bytes, readable by you only), label ${key.label}\n` +
      'Copy it to the other side over a channel you trust, for example scp. Who has it can use it.',
  );
}
