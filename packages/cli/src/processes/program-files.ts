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
    for (const name of ours) {
      const linked = await realpath(join(modules, '@keymux', name));
      found.add(linked);
      for (const place of placesBetween(linked, folder)) found.add(place);
    }
  }
  return outermost(found);
}

/** Without those that lie in others: where one path begins as another does, Node 20.19.0 loses what comes after both. */
function outermost(paths: ReadonlySet<string>): string[] {
  return [...paths].filter((path) => ![...paths].some((other) => path.startsWith(`${other}/`)));
}

/** Where Node looks for packages on the way up; some versions end where they may not look, also if there is nothing. */
function placesBetween(linked: string, folder: string): string[] {
  const places: string[] = [];
  for (let above = dirname(linked); above.startsWith(`${folder}/`); above = dirname(above))
    places.push(join(above, 'node_modules', '*'));
  return places;
}
