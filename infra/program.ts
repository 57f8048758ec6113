import { Command, CommanderError } from 'commander';
import { addAuditCommands } from './commands/audit.ts';
import { addBlockCommands } from './commands/blocks.ts';
import { addBudgetsCommands } from './commands/budgets.ts';
import { addConfigCommands } from './commands/config.ts';
import { addDeploymentsCommands } from './commands/deployments.ts';
import { addDoctorCommand } from './commands/doctor.ts';
import { describeFailure } from './commands/failure.ts';
import { addHealthCommand } from './commands/health.ts';
import { addIngressCommand } from './commands/ingress.ts';
import { addKeysCommands } from './commands/keys.ts';
import { addLedgerCommand } from './commands/ledger.ts';
import { addLimitsCommands } from './commands/limits.ts';
import { addOrganisationsCommands } from './commands/organisations.ts';
import { addRouterCommand } from './commands/router.ts';
import { addStartCommand } from './commands/start.ts';
import { addTeamsCommands } from './commands/teams.ts';
import { setUpTerminal } from './commands/terminal.ts';
import { addUsageCommand } from './commands/usage.ts';
import { addUsersCommands } from './commands/users.ts';
import { addVersionCommand, sluiceVersion } from './commands/version.ts';
import { addWorkerCommand } from './commands/worker.ts';

/** Exit codes: 0 done, 1 it failed or something is wrong, 2 the command line itself was wrong. */
export const EXIT_FAILED = 1;
export const EXIT_MISUSED = 2;

/** Runs one command line; resolves with the exit code. Prints whatever goes wrong. */
export async function main(argv: readonly string[]): Promise<number> {
  setUpTerminal();
  const program = buildProgram();
  try {
    if (argv.length <= 2) program.outputHelp();
    else await program.parseAsync(argv);
    return Number(process.exitCode ?? 0);
  } catch (failure) {
    // Commander has printed its own already: help, version, or what is wrong with the command line.
    if (failure instanceof CommanderError) return failure.exitCode === 0 ? 0 : EXIT_MISUSED;
    const isVerbose = argv.includes('--verbose') || /\bsluice\b/.test(process.env['DEBUG'] ?? '');
    process.stderr.write(`${describeFailure(failure, isVerbose)}\n`);
    return EXIT_FAILED;
  }
}

/** The commands load what they need when they run, so that `--help` takes as long as Node's own start. */
export function buildProgram(): Command {
  const program = new Command('sluice')
    .description('An AI gateway: one OpenAI-compatible door to every model provider.')
    .version(sluiceVersion(), '-V, --version', 'print the version of Sluice')
    .helpOption('-h, --help', 'show this help')
    .addHelpCommand(helpCommand())
    .showHelpAfterError('Run it with --help to see what there is.')
    .configureOutput({ outputError: (text, write) => write(text.replace(/^error: /, 'sluice: ')) })
    .exitOverride()
    // A command's options and those of a command below it may have the same names.
    .enablePositionalOptions()
    .addHelpText(
      'after',
      `
Examples:
  $ sluice start                                the whole gateway in one process, with embedded servers
  $ sluice keys create --name alice --team web  a key for a client
  $ sluice usage --since 7d --by team,model     what was used, and what it cost
  $ sluice health --watch                       how every deployment does, now
  $ sluice doctor                               is everything there, and what to do if not

The configuration is sluice.yaml in this folder, or --config <file>, or SLUICE_CONFIG; without one, defaults do.
DEBUG=sluice or --verbose prints the stack of an error. NO_COLOR=1 turns colours off.`,
    );
  program.commandsGroup('Run:');
  addStartCommand(program);
  addIngressCommand(program);
  addRouterCommand(program);
  addWorkerCommand(program);
  addLedgerCommand(program);
  program.commandsGroup('Manage:');
  addKeysCommands(program);
  addTeamsCommands(program);
  addUsersCommands(program);
  addOrganisationsCommands(program);
  addBudgetsCommands(program);
  addLimitsCommands(program);
  addBlockCommands(program);
  addDeploymentsCommands(program);
  addUsageCommand(program);
  addAuditCommands(program);
  program.commandsGroup('Look:');
  addHealthCommand(program);
  addConfigCommands(program);
  addDoctorCommand(program);
  addVersionCommand(program);
  return program;
}

/** Made by hand, because commander's own stands in a group by itself. */
function helpCommand(): Command {
  return new Command('help')
    .argument('[command]')
    .description('show the help of a command')
    .helpGroup('Look:')
    .helpOption(false);
}
