import { readdir, realpath } from 'node:fs/promises';
import { dirname, join } from 'node:path';

/** The directories with the code of this program, so that a process can be kept from reading anything else. */
export async function programFiles(script: string): Promise<string[]> {
  const found = new Set([dirname(dirname(await realpath(script)))]);
  for (let folder = dirname(script); folder !== dirname(folder); folder = dirname(folder)) {
    const modules = join(folder, 'node_modules');
    const ours = await readdir(join(modules, '@keymux')).catch(() => undefined);
    if (ours === undefined) continue;
    found.add(await realpath(modules)).add(modules);
    // Links, where packages are developed.
    for (const name of ours) found.add(await realpath(join(modules, '@keymux', name)));
  }
  return [...found];
}
