import { availableParallelism } from 'node:os';
import { fileURLToPath } from 'node:url';
import { defineConfig } from 'vitest/config';
import { TallyReporter } from './support/tally-reporter.ts';

// Tests of what is written, not of what was last built: packages resolve to their sources.
const conditions = ['@keymux/source', 'node', 'import', 'default'];

export default defineConfig({
  root: fileURLToPath(new URL('..', import.meta.url)),
  resolve: { conditions },
  ssr: { resolve: { conditions } },
  test: {
    projects: [
      {
        extends: true,
        test: {
          name: 'all',
          include: ['packages/*/test/**/*.test.ts', 'test/**/*.test.ts'],
          exclude: ['test/attacks/**'],
        },
      },
      // Many short files with the same imports: loading those for each would take longer than the tests.
      {
        extends: true,
        test: {
          name: 'attacks',
          include: ['test/attacks/**/*.test.ts'],
          benchmark: { include: [] },
          isolate: false,
        },
      },
    ],
    benchmark: { include: ['test/bench/**/*.bench.ts'] },
    pool: 'forks',
    // Tests wait for other processes more than they compute.
    maxWorkers: Math.max(2, availableParallelism() - 1),
    // What one test has a host demand must not hold in the next, nor for the user who runs them.
    env: { KEYMUX_HOST_MEMORY: 'none' },
    // For what hangs: nothing that is only slow may fail by them.
    testTimeout: 120_000,
    hookTimeout: 120_000,
    teardownTimeout: 10_000,
    expect: { poll: { timeout: 60_000 } },
    retry: 0,
    allowOnly: false,
    reporters: ['default', new TallyReporter()],
    coverage: { provider: 'v8', include: ['packages/*/src/**/*.ts'], reporter: ['text', 'lcov'] },
  },
});
