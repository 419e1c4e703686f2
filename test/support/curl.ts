import { type ChildProcessByStdio, spawn, spawnSync } from 'node:child_process';
import type { Readable, Writable } from 'node:stream';
import { type Run, run } from './processes.ts';

/** Whether there is no curl here; tests that need it are then skipped, and a warning says so. */
export const curlMissing = spawnSync('curl', ['--version']).status !== 0;
if (curlMissing) process.stderr.write('curl is not installed: the tests with real curl are skipped\n');

// Neither ~/.curlrc nor proxy settings of the environment count.
const QUIET = ['-q', '-sS', '--noproxy', ''];

/** Runs curl to its end. */
export function curl(args: readonly string[]): Promise<Run> {
  return run('curl', [...QUIET, ...args]);
}

/** Starts curl with its standard input and output as streams. */
export function startCurl(args: readonly string[]): ChildProcessByStdio<Writable, Readable, null> {
  return spawn('curl', [...QUIET, ...args], { stdio: ['pipe', 'pipe', 'inherit'] });
}
