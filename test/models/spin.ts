import { execFile, spawnSync } from 'node:child_process';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';

const run = promisify(execFile);
const MODELS = fileURLToPath(new URL('../../spec/models', import.meta.url));

/** Why the models cannot be run here, or undefined if they can. */
export function missingTools(): string | undefined {
  const missing = [
    ['spin', '-V'],
    ['gcc', '--version'],
  ].filter(([tool = '', argument = '']) => spawnSync(tool, [argument]).status !== 0);
  return missing.length > 0 ? `not found: ${missing.map(([tool]) => tool).join(', ')}` : undefined;
}

/**
 * Searches all states of a model, with waiting for ever as a fault or not. Returns the property that is broken, as the model's assertion has it, or 'none'.
 * Throws unless the search was complete.
 */
export async function search(model: string, defines: readonly string[], mayWait: boolean): Promise<string> {
  const cwd = await mkdtemp(join(tmpdir(), 'keymux-spin-'));
  try {
    const options = defines.map((define) => `-D${define}`);
    await run('spin', ['-a', ...options, join(MODELS, model)], { cwd });
    await run('gcc', ['-O0', '-w', '-DSAFETY', '-o', 'pan', 'pan.c'], { cwd });
    const { stdout } = await run('./pan', ['-m1000000', ...(mayWait ? ['-E'] : [])], { cwd });
    return verdict(stdout);
  } finally {
    await rm(cwd, { recursive: true });
  }
}

function verdict(report: string): string {
  const violated = /assertion violated\s+(.*?) \(at depth/.exec(report)?.[1];
  if (violated !== undefined) return /^!\((\w+)\)$/.exec(violated)?.[1] ?? violated;
  if (/max search depth too small|Search not completed|out of memory/.test(report)) throw new Error(report);
  if (!report.includes('errors: 0')) throw new Error(report);
  return 'none';
}
