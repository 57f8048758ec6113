import type { Command } from 'commander';
import { runService, withServiceOptions } from './run-service.ts';
import type { ServiceFlags } from './run-service.ts';

export function addWorkerCommand(program: Command): void {
  withServiceOptions(program.command('worker'))
    .description('one worker: calls the providers; needs NATS_URL')
    .addHelpText(
      'after',
      '\nExamples:\n  $ NATS_URL=nats://nats:4222 sluice worker\n  $ NATS_URL=nats://nats:4222 sluice worker --metrics-port 9090',
    )
    .action(async (flags: ServiceFlags) => {
      const { runWorker } = await import('../services.ts');
      await runService('worker', flags, runWorker);
    });
}
