import type { Command } from 'commander';
import { InvalidArgumentError } from 'commander';
import type { Config } from '../../shared/config.ts';
import { ConfigError } from '../../shared/config/errors.ts';

/** Flags that stand for a configuration value, by the variable that overrides it. */
const FLAGS = {
  port: { variable: 'SLUICE_PORT', flag: '--port' },
  dataDir: { variable: 'SLUICE_DATA_DIR', flag: '--data-dir' },
  logLevel: { variable: 'SLUICE_LOG_LEVEL', flag: '--log-level' },
} as const;

export interface ConfigFlags {
  readonly config?: string;
  readonly port?: string;
  readonly dataDir?: string;
  readonly logLevel?: string;
}

/** What every command that reads the configuration takes; `names` are the values it lets the user override. */
export function withConfigOptions(command: Command, ...names: ReadonlyArray<keyof typeof FLAGS>): Command {
  command.option(
    '-c, --config <file>',
    'the configuration (default: SLUICE_CONFIG, else ./sluice.yaml if there is one)',
  );
  if (names.includes('port')) command.option('-p, --port <port>', 'listen on this port (SLUICE_PORT)');
  if (names.includes('dataDir'))
    command.option('-d, --data-dir <folder>', 'where embedded servers keep their data (SLUICE_DATA_DIR)');
  if (names.includes('logLevel'))
    command.option('-l, --log-level <level>', 'trace, debug, info, warn, error, fatal or silent (SLUICE_LOG_LEVEL)');
  return withVerbose(command);
}

export function withVerbose(command: Command): Command {
  return command.option('--verbose', 'print the stack of an error');
}

export function withJson(command: Command): Command {
  return command.option('--json', 'print JSON');
}

/** The configuration as this command line wants it. @throws ConfigError that names flags as the user wrote them */
export async function loadCommandConfig(flags: ConfigFlags): Promise<Config> {
  const { loadConfig } = await import('../../shared/config.ts');
  const env: Record<string, string | undefined> = { ...process.env };
  const given = Object.entries(FLAGS).filter(([name]) => flags[name as keyof typeof FLAGS] !== undefined);
  for (const [name, { variable }] of given) env[variable] = flags[name as keyof typeof FLAGS];
  try {
    return loadConfig({ argv: { config: flags.config }, env, cwd: process.cwd() });
  } catch (failure) {
    if (!(failure instanceof ConfigError)) throw failure;
    const written = new Map<string, string>(given.map(([, { variable, flag }]) => [variable, flag]));
    const problems = failure.problems.map((problem) => ({
      ...problem,
      path: written.get(problem.path) ?? problem.path,
    }));
    throw new ConfigError(failure.file, problems);
  }
}

/** For options that count something. */
export function positiveInteger(max: number): (text: string) => number {
  return (text) => {
    const value = Number(text);
    if (!/^\d+$/.test(text) || value < 1 || value > max)
      throw new InvalidArgumentError(`It must be a number from 1 to ${max}.`);
    return value;
  };
}

export function portNumber(text: string): number {
  const value = Number(text);
  if (!/^\d+$/.test(text) || value > 65_535) throw new InvalidArgumentError('It must be a number from 0 to 65535.');
  return value;
}
