import type { Command } from 'commander';
import { loadCommandConfig, withConfigOptions } from './options.ts';
import type { ConfigFlags } from './options.ts';
import { untilSignal } from '../until-signal.ts';
import { print } from './terminal.ts';

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
      const config = await loadCommandConfig(flags);
      const { createLog, endLog } = await import('../../shared/log.ts');
      const { startGateway } = await import('../start.ts');
      const log = createLog(config.logging.level, 'sluice');
      // performance.now() counts from the start of the process.
      const gateway = await startGateway({ config, log, env: process.env, beganAt: 0 });
      print(gateway.banner);
      await untilSignal(async (signal) => {
        log.info({ signal }, 'stopping');
        await gateway.stop();
        log.info('stopped');
        await endLog(log);
      });
    });
}
