import type { Command } from 'commander';
import { runService, withServiceOptions } from './run-service.ts';
import type { ServiceFlags } from './run-service.ts';

export function addRouterCommand(program: Command): void {
  withServiceOptions(program.command('router'))
    .description('one router: decides where each request goes; needs NATS_URL')
    .addHelpText(
      'after',
      '\nExamples:\n  $ NATS_URL=nats://nats:4222 sluice router\n  $ NATS_URL=nats://nats:4222 sluice router --metrics-port 9090',
    )
    .action(async (flags: ServiceFlags) => {
      const { runRouter } = await import('../services.ts');
      await runService('router', flags, runRouter);
    });
}
