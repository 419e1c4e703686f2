import { readdirSync, readFileSync, writeFileSync } from 'node:fs';

/** Linux counts CPU time in these. */
const TICKS_PER_SECOND = 100;
const PAGE = 4096;

export interface Usage {
  /** User and system time of the process and its descendants, including those that have ended, in seconds. */
  readonly cpu: number;
  /** Resident memory of all of them, in bytes. */
  readonly rss: number;
}

/** What a process and its descendants have used. Linux only: reads /proc. */
export function usage(pid: number): Usage {
  const parents = new Map<number, number>();
  for (const name of readdirSync('/proc')) {
    const stat = /^\d+$/.test(name) ? statOf(Number(name)) : undefined;
    if (stat !== undefined) parents.set(Number(name), stat.parent);
  }
  const belongs = (candidate: number | undefined): boolean =>
    candidate !== undefined && (candidate === pid || belongs(parents.get(candidate)));
  let [cpu, rss] = [0, 0];
  for (const candidate of parents.keys()) {
    const stat = belongs(candidate) ? statOf(candidate) : undefined;
    if (stat === undefined) continue;
    cpu += stat.ticks / TICKS_PER_SECOND;
    rss += stat.pages * PAGE;
  }
  return { cpu, rss };
}

/** The greatest resident memory that one process has had since this was last asked, in bytes. */
export function takePeakRss(pid: number): number {
  const line = /^VmHWM:\s+(\d+) kB/m.exec(read(`/proc/${pid}/status`) ?? '');
  try {
    writeFileSync(`/proc/${pid}/clear_refs`, '5');
  } catch {
    // it has just ended
  }
  return Number(line?.[1] ?? 0) * 1024;
}

function statOf(pid: number): { parent: number; ticks: number; pages: number } | undefined {
  const text = read(`/proc/${pid}/stat`);
  if (text === undefined) return undefined;
  // The name of the program, in parentheses, may contain anything.
  const fields = text
    .slice(text.lastIndexOf(')') + 2)
    .split(' ')
    .map(Number);
  const at = (index: number): number => fields[index] ?? 0;
  return { parent: at(1), ticks: at(11) + at(12) + at(13) + at(14), pages: at(21) };
}

function read(path: string): string | undefined {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return undefined; // it has just ended
  }
}
