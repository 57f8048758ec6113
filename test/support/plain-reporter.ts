import type { Reporter, TestModule } from 'vitest/node';

/** The last line of a run in CI: `N passed, N failed`, with `, N skipped` where there are some. */
export class PlainReporter implements Reporter {
  onTestRunEnd(modules: readonly TestModule[], unhandledErrors: readonly unknown[]): void {
    const counts = { passed: 0, failed: unhandledErrors.length, skipped: 0, pending: 0 };
    for (const module of modules) {
      // A file that does not even load is a failure of its own.
      if (module.errors().length > 0) counts.failed++;
      for (const test of module.children.allTests()) counts[test.result().state]++;
    }
    const skipped = counts.skipped + counts.pending;
    process.stdout.write(
      `${counts.passed} passed, ${counts.failed} failed${skipped === 0 ? '' : `, ${skipped} skipped`}\n`,
    );
  }
}

// vitest loads a reporter by its default export.
export { PlainReporter as default };
