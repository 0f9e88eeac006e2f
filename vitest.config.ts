import { defineConfig } from 'vitest/config';

// unit: pure parts, in parallel. integration: real programs on a real kernel, one file after another, since they measure, kill and
// count processes; support/leftovers.ts checks at the end that nothing is left behind. soak: the same, for hours (scripts/soak.mjs).
export default defineConfig({
  test: {
    projects: [
      { test: { name: 'unit', include: ['test/unit/**/*.test.ts'], environment: 'node' } },
      {
        test: {
          name: 'integration',
          include: ['test/integration/**/*.test.ts'],
          environment: 'node',
          fileParallelism: false,
          testTimeout: 120_000,
          hookTimeout: 120_000,
          globalSetup: ['test/support/leftovers.ts'],
        },
      },
      {
        test: {
          name: 'soak',
          include: ['test/soak/**/*.soak.ts'],
          environment: 'node',
          fileParallelism: false,
          testTimeout: 6 * 60 * 60_000,
          globalSetup: ['test/support/leftovers.ts'],
        },
      },
    ],
  },
});
