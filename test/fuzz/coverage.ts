import { readFileSync } from 'node:fs';
import { Session } from 'node:inspector/promises';
import { fileURLToPath } from 'node:url';

/** Blocks of the packages' code, as V8 counts them: functions, branches, loop bodies. */
export class CoverageMap {
  readonly #session: Session;
  readonly #url: string;
  /** Where each part of the bundle begins, and whether it is a package's. */
  readonly #parts: readonly { readonly from: number; readonly counts: boolean }[];
  readonly #counted = new Map<number, boolean>();
  readonly #seen = new Set<number>();

  private constructor(session: Session, url: string) {
    this.#session = session;
    this.#url = url;
    const text = readFileSync(fileURLToPath(url), 'utf8');
    this.#parts = [...text.matchAll(/^\/\/(?:#region)? (\S+\.ts)$/gm)].map(({ index, 1: file = '' }) => ({
      from: index,
      counts: /^packages\/[a-z]+\/src\//.test(file),
    }));
  }

  /** Counts from now on what runs of the bundle that this is in. */
  static async start(): Promise<CoverageMap> {
    const session = new Session();
    session.connect();
    await session.post('Profiler.enable');
    await session.post('Profiler.startPreciseCoverage', { callCount: true, detailed: true });
    return new CoverageMap(session, import.meta.url);
  }

  stop(): void {
    this.#session.disconnect();
  }

  /** Blocks that have been reached so far. */
  get size(): number {
    return this.#seen.size;
  }

  /** Takes back all but the first `size` blocks. */
  forget(size: number): void {
    for (const block of [...this.#seen].slice(size)) this.#seen.delete(block);
  }

  /** How many blocks were reached for the first time since the last call. */
  async take(): Promise<number> {
    const { result } = await this.#session.post('Profiler.takePreciseCoverage');
    const before = this.#seen.size;
    for (const script of result) {
      if (script.url !== this.#url) continue;
      for (const { ranges } of script.functions) {
        for (const { startOffset, endOffset, count } of ranges) {
          if (count > 0 && this.#counts(startOffset)) this.#seen.add(startOffset * 2 ** 24 + endOffset);
        }
      }
    }
    return this.#seen.size - before;
  }

  #counts(offset: number): boolean {
    const known = this.#counted.get(offset);
    if (known !== undefined) return known;
    const counts = this.#parts.findLast(({ from }) => from <= offset)?.counts ?? false;
    this.#counted.set(offset, counts);
    return counts;
  }
}
