import type { Command } from 'commander';
import type { HealthPicture } from '../../services/ingress/core/health-picture.ts';
import type { Config } from '../../shared/config.ts';
import { poolsOf } from '../../shared/pools.ts';
import { loadCommandConfig, withConfigOptions, withJson } from './options.ts';
import type { ConfigFlags } from './options.ts';
import { print, printJson } from './terminal.ts';

const REDRAW_EVERY_MS = 1_000;
/** The cursor to the top left, and everything below it gone. */
const CLEAR = '\u001b[H\u001b[2J';

interface Flags extends ConfigFlags {
  readonly watch?: true;
  readonly json?: true;
}

export function addHealthCommand(program: Command): void {
  withConfigOptions(withJson(program.command('health')), 'dataDir')
    .description('how every deployment, pool and service does; exit code 1 when something is amiss')
    .option('-w, --watch', 'show it anew each second, until Ctrl-C')
    .addHelpText(
      'after',
      `
Examples:
  $ sluice health
  $ sluice health --watch
  $ NATS_URL=nats://nats:4222 sluice health --json | jq '.deployments[] | select(.state != "closed")'

States: closed (requests flow), half_open (a probe is under way), throttled (a limit is used up), open (failing: nothing
is sent), drained and disabled (by an operator: see sluice deployments). Amiss: open, disabled, and whatever is missing.`,
    )
    .action(healthCommand);
}

async function healthCommand({ watch, json, ...flags }: Flags): Promise<void> {
  const { withBroker } = await import('./open-broker.ts');
  const { watchGateway } = await import('./watch-gateway.ts');
  const { troublesOf, healthTables } = await import('./health-tables.ts');
  const config = await loadCommandConfig(flags);
  const pools = poolNames(config);
  const show = (picture: HealthPicture): void => {
    const troubles = troublesOf(picture, pools);
    process.exitCode = troubles.length === 0 ? 0 : 1;
    const ok = troubles.length === 0;
    if (json)
      return watch ? print(JSON.stringify({ ok, troubles, ...picture })) : printJson({ ok, troubles, ...picture });
    const cleared = watch && process.stdout.isTTY ? CLEAR : '';
    print(`${cleared}${healthTables(picture, troubles)}${watch && cleared === '' ? '\n' : ''}`);
  };
  await withBroker(config, (bus) =>
    watchGateway(bus, config, async ({ picture }) => {
      show(picture());
      if (!watch) return;
      const redraw = setInterval(() => show(picture()), REDRAW_EVERY_MS);
      const { untilSignal } = await import('../until-signal.ts');
      await untilSignal(() => Promise.resolve(clearInterval(redraw)));
      process.exitCode = 0;
    }),
  );
}

function poolNames({ providers }: Pick<Config, 'providers'>): string[] {
  return providers.flatMap((provider) => poolsOf(provider).map(({ name }) => name));
}
