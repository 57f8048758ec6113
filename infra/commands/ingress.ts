import type { Command } from 'commander';
import { withConfigOptions } from './options.ts';
import type { ConfigFlags } from './options.ts';
import { runService } from './run-service.ts';

export function addIngressCommand(program: Command): void {
  withConfigOptions(program.command('ingress'), 'port', 'logLevel')
    .description('one ingress: the HTTP door, with /metrics and /health of its own; needs NATS_URL')
    .addHelpText('after', '\nExamples:\n  $ NATS_URL=nats://nats:4222 sluice ingress --port 8080')
    .action(async (flags: ConfigFlags) => {
      const { runIngress } = await import('../services.ts');
      await runService('ingress', flags, runIngress);
    });
}
