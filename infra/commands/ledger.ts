import type { Command } from 'commander';
import { neededUrl, runService, withServiceOptions } from './run-service.ts';
import type { ServiceFlags } from './run-service.ts';

export function addLedgerCommand(program: Command): void {
  withServiceOptions(program.command('ledger'))
    .description('one ledger: accounts for usage, owns the keys; needs NATS_URL and DATABASE_URL')
    .addHelpText(
      'after',
      '\nExamples:\n  $ NATS_URL=nats://nats:4222 DATABASE_URL=postgres://user:password@host/sluice sluice ledger',
    )
    .action(async (flags: ServiceFlags) => {
      const { runLedger } = await import('../services.ts');
      await runService('ledger', flags, (options) =>
        runLedger({ ...options, databaseUrl: neededUrl(options.config, 'ledger', 'database') }),
      );
    });
}
