import { defineConfig } from 'vitest/config';

export default defineConfig({
  test: {
    include: ['{services,shared,infra,test}/**/*.test.ts'],
    globalSetup: ['test/support/global-setup.ts'],
    testTimeout: 20_000,
    hookTimeout: 60_000,
    // A second, as by default, is what a busy machine takes to start a process.
    expect: { poll: { timeout: 10_000 } },
    // Real servers run beside the tests: more files at once than cores only makes each of them slow.
    maxWorkers: 2,
    // A landing shares its machine with others: a test that starved once is named (`retry x1`) and tried again. Ours has no second try.
    retry: process.env['CI'] === undefined ? 0 : 1,
    reporters: process.env['CI'] === undefined ? ['default'] : ['default', './test/support/plain-reporter.ts'],
  },
});
