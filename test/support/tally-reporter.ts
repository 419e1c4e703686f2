import type { SerializedError } from 'vitest';
import type { Reporter, TestModule } from 'vitest/node';

/**
 * Ends the run with one line, `N passed, N failed, N skipped`, alone and last, for CI to read.
 * A file that could not be loaded and an error outside any test count as failures.
 */
export class TallyReporter implements Reporter {
  onTestRunEnd(modules: readonly TestModule[], unhandled: readonly SerializedError[]): void {
    const tally = { passed: 0, failed: unhandled.length, skipped: 0 };
    for (const module of modules) {
      if (module.errors().length > 0) tally.failed += 1;
      for (const suite of module.children.allSuites()) {
        if (suite.errors().length > 0) tally.failed += 1;
      }
      for (const test of module.children.allTests()) {
        const { state } = test.result();
        if (state === 'passed' || state === 'failed') tally[state] += 1;
        else tally.skipped += 1;
      }
    }
    const line = `${tally.passed} passed, ${tally.failed} failed, ${tally.skipped} skipped\n`;
    // Not now: the other reporters and the coverage table still have things to print.
    process.once('exit', () => process.stdout.write(line));
  }
}
