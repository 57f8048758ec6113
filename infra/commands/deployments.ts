import type { Command } from 'commander';
import type { DeploymentHealth } from '../../services/ingress/core/health-picture.ts';
import type { Catalog } from '../../shared/catalog.ts';
import type { Config } from '../../shared/config.ts';
import type { ForcedState } from '../../shared/messages/control.ts';
import { CommandError } from './failure.ts';
import { loadCommandConfig, withConfigOptions, withJson } from './options.ts';
import type { ConfigFlags } from './options.ts';
import { note, print, printJson } from './terminal.ts';

interface Flags extends ConfigFlags {
  readonly json?: true;
}

interface ListFlags extends Flags {
  readonly all?: true;
}

interface ForceFlags extends Flags {
  readonly note?: string;
}

/** What an operator says of a deployment, as the command line calls it. */
const FORCINGS = [
  { action: 'drain', state: 'drained', does: 'send it no new requests; those under way finish' },
  { action: 'disable', state: 'disabled', does: 'send it no new requests, and move those under way elsewhere' },
] as const;

export function addDeploymentsCommands(program: Command): void {
  const deployments = program.command('deployments').description('who serves: list, drain, disable, enable');
  deployments.addHelpText(
    'after',
    '\nExamples:\n  $ sluice deployments list\n  $ sluice deployments drain openai/gpt-4o --note "slow today"\n  $ sluice deployments enable openai/gpt-4o',
  );

  withConfigOptions(withJson(deployments.command('list')), 'dataDir')
    .description('every configured deployment and its state')
    .option('-a, --all', 'those that the price table knows too')
    .addHelpText(
      'after',
      "\nExamples:\n  $ sluice deployments list\n  $ sluice deployments list --all --json | jq -r '.[].deployment'",
    )
    .action(listCommand);

  for (const { action, state, does } of FORCINGS) {
    withConfigOptions(withJson(deployments.command(action)), 'dataDir')
      .description(`${does}; until it is enabled`)
      .argument('<deployment>', 'provider/model')
      .option('-n, --note <why>', 'why, for whoever looks at it later')
      .addHelpText(
        'after',
        `\nExamples:\n  $ sluice deployments ${action} openai/gpt-4o\n  $ sluice deployments ${action} openai/gpt-4o --note "see ticket 12"`,
      )
      .action((deployment: string, flags: ForceFlags) => forceCommand(deployment, state, flags));
  }

  withConfigOptions(withJson(deployments.command('enable')), 'dataDir')
    .description('take back what was forced: its own health decides again')
    .argument('<deployment>', 'provider/model')
    .addHelpText('after', '\nExamples:\n  $ sluice deployments enable openai/gpt-4o')
    .action((deployment: string, flags: Flags) => forceCommand(deployment, undefined, flags));
}

async function listCommand({ all, json, ...flags }: ListFlags): Promise<void> {
  const { withBroker } = await import('./open-broker.ts');
  const { watchGateway } = await import('./watch-gateway.ts');
  const { deploymentsTable } = await import('./health-tables.ts');
  const config = await loadCommandConfig(flags);
  const seen = await withBroker(config, (bus) =>
    watchGateway(bus, config, ({ picture }) => Promise.resolve(picture().deployments)),
  );
  const known = new Set(seen.map(({ deployment }) => deployment));
  const others = (await listed(config)).filter((deployment) => !known.has(deployment));
  const shown = all ? [...seen, ...others.map(unused)] : seen;
  if (json) return printJson(shown);
  if (shown.length > 0) print(deploymentsTable(shown));
  if (!all && others.length > 0) note(`${others.length} more are known by the price table: --all lists them.`);
}

/** Of which nobody says anything, since nobody asks it. */
function unused(deployment: string): DeploymentHealth {
  return { deployment, state: 'closed', in_flight: 0, workers: [], forced: null };
}

async function forceCommand(
  deployment: string,
  state: ForcedState['state'] | undefined,
  { note: why, json, ...flags }: ForceFlags,
): Promise<void> {
  const { withBroker } = await import('./open-broker.ts');
  const { startForced } = await import('./watch-gateway.ts');
  const { ForcedStates } = await import('../../shared/forced-states.ts');
  const config = await loadCommandConfig(flags);
  const forced = new ForcedStates();
  const before = await withBroker(config, async (bus) => {
    try {
      await startForced(forced, bus);
      const before = forced.stateOf(deployment);
      // One that is forced although the configuration has it no more must have a way back.
      if (before === undefined) await refuseUnknown(config, deployment);
      const said = why === undefined ? {} : { note: why };
      if (state === undefined) await forced.release(deployment);
      else await forced.force({ v: 1, deployment, state, atEpochMs: Date.now(), ...said });
      return before;
    } finally {
      forced.stop();
    }
  });
  if (json) return printJson({ deployment, state: state ?? 'enabled', before: before ?? 'enabled', note: why ?? null });
  print(sentence(deployment, state, before));
}

function sentence(deployment: string, state: string | undefined, before: string | undefined): string {
  if (state === undefined && before === undefined) return `${deployment} was not forced: its own health decides.`;
  if (state === undefined) return `${deployment} is enabled: it was ${before}, now its own health decides.`;
  const effect = state === 'drained' ? 'no new requests go to it' : 'nothing goes to it, and what was under way ends';
  return `${deployment} is ${state}: ${effect}. \`sluice deployments enable ${deployment}\` takes it back.`;
}

/** @throws CommandError that names the nearest one */
async function refuseUnknown(config: Config, deployment: string): Promise<void> {
  const { suggest } = await import('../../shared/config/errors.ts');
  const catalog = await catalogOf(config);
  if (catalog.deployment(deployment) !== undefined) return;
  const { configuredDeployments } = await import('../../shared/configured-deployments.ts');
  const hint = suggest(deployment, [...configuredDeployments(config), ...(await listed(config))]);
  throw new CommandError(
    `there is no deployment \`${deployment}\`${hint === undefined ? '' : `: ${hint}`}\n` +
      'It is named provider/model; `sluice deployments list` lists them.',
  );
}

async function listed(config: Config): Promise<string[]> {
  const { listedDeployments } = await import('../../shared/configured-deployments.ts');
  return listedDeployments(await catalogOf(config));
}

async function catalogOf(config: Config): Promise<Catalog> {
  const catalog = await import('../../shared/catalog.ts');
  const { loadPriceTable } = await import('../../shared/pricing.ts');
  return new catalog.Catalog(config, loadPriceTable());
}
