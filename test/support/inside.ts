import { main } from 'keymux';
import { vi } from 'vitest';
import type { Run } from './processes.ts';

/** Runs a keymux command in this process, which is much faster than starting one; it must end by itself. */
export async function keymuxInside(args: readonly string[], env: NodeJS.ProcessEnv = {}): Promise<Run> {
  const written = { stdout: '', stderr: '' };
  for (const [name, value] of Object.entries(env)) vi.stubEnv(name, value);
  const spies = (['stdout', 'stderr'] as const).map((name) =>
    vi.spyOn(process[name], 'write').mockImplementation((text) => {
      written[name] += String(text);
      return true;
    }),
  );
  try {
    return { code: await main(args), ...written };
  } finally {
    for (const spy of spies) spy.mockRestore();
    vi.unstubAllEnvs();
  }
}
