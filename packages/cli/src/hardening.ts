import { writeFileSync } from 'node:fs';
import { url as debuggerUrl } from 'node:inspector';
import { ConfigError } from './errors.ts';
import type { Output } from './output.ts';

/** Keeps SIGUSR1 from opening Node's debugger on loopback, where every program of this machine, and web pages by a trick, could use it. */
export function closeDebugger(): void {
  process.off('SIGUSR1', ignore).on('SIGUSR1', ignore); // once, however often this is called
}

/** For a process whose memory holds long-term keys: no debugger, no memory in core dumps, files for this user alone. Throws ConfigError. */
export function harden(output: Output): void {
  if (debuggerUrl() !== undefined)
    throw new ConfigError('a debugger is open, which could read the keys; start without --inspect');
  process.umask(0o077);
  if (process.platform !== 'linux') {
    output.warn('core dumps of this process, if the system writes any, hold the keys');
    return;
  }
  try {
    writeFileSync('/proc/self/coredump_filter', '0'); // core(5): which memory a dump has; none
  } catch (error) {
    output.warn(`core dumps of this process would hold the keys: ${(error as Error).message}`);
  }
}

function ignore(): void {}
