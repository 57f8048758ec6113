import type { Command } from 'commander';
import { loadCommandConfig, withConfigOptions } from './options.ts';
import type { ConfigFlags } from './options.ts';

export function addStartCommand(program: Command): void {
  withConfigOptions(program.command('start'), 'port', 'dataDir', 'logLevel')
    .description('the whole gateway in one process; NATS and Postgres are embedded unless their URLs are set')
    .addHelpText(
      'after',
      `
Examples:
  $ sluice start                         without any configuration: the simulated provider, and those with a key
  $ OPENAI_API_KEY=sk-… sluice start
  $ sluice start --config sluice.yaml --port 8081 --data-dir /var/lib/sluice`,
    )
    .action(async (flags: ConfigFlags) => {
      const config = loadCommandConfig(flags);
      const { startGateway } = await import('../start.ts');
      const { untilSignal } = await import('../until-signal.ts');
      const gateway = await startGateway({ config });
      await untilSignal(() => gateway.stop());
    });
}
