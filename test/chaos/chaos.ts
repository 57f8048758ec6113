/**
 * `npm run chaos`: one fault after the other under load, in a gateway of real processes on servers of its own. Progress on
 * stderr, the table on stdout. Exit code 1 when a request hung, ended in a way that its fault does not excuse, or is not
 * accounted for.
 */
import { fileURLToPath } from 'node:url';
import { Command, InvalidArgumentError, Option } from 'commander';
import { withConnection } from '../../infra/servers/postgres-database.ts';
import { describeMachine } from '../bench/machine.ts';
import type { Machine } from '../bench/machine.ts';
import { markdownLedgerReport, terminalLedgerReport } from './ledger-report.ts';
import { runLedgerRounds, VICTIMS } from './ledger-rounds.ts';
import type { Victim } from './ledger-rounds.ts';
import { writeMeasured } from '../support/measured-block.ts';
import { FAULTS } from './faults.ts';
import type { Fault } from './faults.ts';
import { markdownReport, terminalReport } from './report.ts';
import { LANES, runFault } from './run-fault.ts';
import type { Result } from './run-fault.ts';
import { System } from './system.ts';

interface Flags {
  readonly only?: readonly Fault[];
  readonly list?: true;
  readonly seconds: number;
  readonly json?: true;
  readonly write?: true;
}

interface LedgerFlags {
  readonly rounds: number;
  readonly seed: number;
  readonly victims?: readonly Victim[];
  readonly json?: true;
  readonly write?: true;
}

const DOCS = fileURLToPath(new URL('../../docs/reliability.md', import.meta.url));
const SECONDS = 6;
const ROUNDS = 30;

class Chaos {
  readonly #flags: Flags;
  #system: System | undefined;
  readonly results: Result[] = [];
  machine: Machine | undefined;

  constructor(flags: Flags) {
    this.#flags = flags;
  }

  async run(): Promise<void> {
    const chosen = this.#flags.only ?? FAULTS;
    for (const isCluster of [false, true]) {
      const faults = chosen.filter(({ needs }) => (needs === 'cluster') === isCluster);
      if (faults.length > 0) await this.#strikeAll(faults, isCluster, chosen.length);
    }
  }

  async stop(): Promise<void> {
    await this.#system?.stop();
    this.#system = undefined;
  }

  async #strikeAll(faults: readonly Fault[], isCluster: boolean, total: number): Promise<void> {
    progress(`starting the gateway${isCluster ? ' on a NATS cluster' : ''}`);
    const models = faults.map(({ name }) => name);
    const hasRedis = faults.some(({ needs }) => needs === 'redis');
    const system = (this.#system = await System.start({ models, isCluster, hasRedis }));
    this.machine ??= describeMachine({
      nats: system.nats[0]?.version ?? '',
      postgres: await postgresVersion(system.postgres.url),
    });
    for (const fault of faults) {
      const name = `${this.results.length + 1}/${total} ${fault.name}`;
      const onProgress = (text: string): void => passing(`${name}, ${text}`);
      const result = await runFault(fault, system, { seconds: this.#flags.seconds, onProgress });
      this.results.push(result);
      progress(`${name}: ${brief(result)}`);
    }
    await this.stop();
  }
}

function brief({ served, asked, hung, unaccounted, problems }: Result): string {
  const verdict = problems.length === 0 ? 'as it should be' : `${problems.length} PROBLEMS, such as ${problems[0]}`;
  return `${served} of ${asked} served, ${hung} hung, ${unaccounted.length} unaccounted; ${verdict}`;
}

function progress(text: string): void {
  process.stderr.write(`${process.stderr.isTTY ? '\r\x1b[K' : ''}${stamp()}${text}\n`);
}

/** A line that the next one takes the place of; a log file does without. */
function passing(text: string): void {
  if (process.stderr.isTTY) process.stderr.write(`\r\x1b[K${`${stamp()}${text}`.slice(0, process.stderr.columns - 1)}`);
}

function stamp(): string {
  return `${(performance.now() / 1_000).toFixed(0).padStart(5)} s  `;
}

function postgresVersion(url: string): Promise<string> {
  return withConnection(url, async (client) => {
    const { rows } = await client.query<{ server_version: string }>('show server_version');
    return rows[0]?.server_version ?? '';
  });
}

function parseNames(text: string): readonly Fault[] {
  const names = text.split(',').map((name) => name.trim());
  const unknown = names.find((name) => FAULTS.every((fault) => fault.name !== name));
  if (unknown !== undefined) throw new InvalidArgumentError(`There is no fault ${unknown}; --list shows them.`);
  return FAULTS.filter(({ name }) => names.includes(name));
}

function parseSeconds(text: string): number {
  if (!/^[1-9]\d?$/.test(text)) throw new InvalidArgumentError('It is a number from 1 to 99.');
  return Number(text);
}

function parseCount(text: string): number {
  if (!/^[1-9]\d{0,5}$/.test(text)) throw new InvalidArgumentError('It is a number from 1 to 999999.');
  return Number(text);
}

function parseVictims(text: string): readonly Victim[] {
  return text.split(',').map((name) => {
    const victim = VICTIMS.find((known) => known === name.trim());
    if (victim === undefined) throw new InvalidArgumentError(`It is a list of ${VICTIMS.join(', ')}.`);
    return victim;
  });
}

/** What the figures depend on, without this machine's paths. */
function commandOf({ only, seconds }: Flags): string {
  const words = [
    ...(only === undefined ? [] : ['--only', only.map(({ name }) => name).join(',')]),
    ...(seconds === SECONDS ? [] : ['--seconds', seconds]),
  ];
  return ['npm run chaos', ...(words.length > 0 ? ['--', ...words] : [])].join(' ');
}

function list(): string {
  const width = Math.max(...FAULTS.map(({ name }) => name.length));
  return FAULTS.map(({ name, what }) => `${name.padEnd(width)}  ${what}\n`).join('');
}

const program = new Command('npm run chaos --')
  .description('Breaks the gateway and what it stands on, under load, and counts what clients saw.')
  .addOption(new Option('--only <names>', 'these faults, with commas').argParser(parseNames))
  .option('--list', 'print the faults, and do nothing')
  .addOption(new Option('--seconds <n>', 'how long a fault lasts').argParser(parseSeconds).default(SECONDS))
  .option('--json', 'print JSON')
  .option('--write', 'replace the table in docs/reliability.md')
  .action(runFaults);
program
  .command('ledger')
  .description(
    'kill -9 of one part after the other at random moments under load, then the reconciliation of the ledger',
  )
  .addOption(new Option('--rounds <n>', 'how many times').argParser(parseCount).default(ROUNDS))
  .addOption(new Option('--seed <n>', 'whom and when').argParser(parseCount).default(1))
  .addOption(new Option('--victims <names>', `some of ${VICTIMS.join(', ')}`).argParser(parseVictims))
  .option('--json', 'print JSON')
  .option('--write', 'replace the table in docs/reliability.md')
  .action((_flags, command: Command) => runLedger(command.optsWithGlobals<LedgerFlags>()));
await program.parseAsync();

async function runFaults(flags: Flags): Promise<void> {
  if (flags.list) {
    process.stdout.write(list());
    return;
  }
  const startedAt = new Date().toISOString();
  const chaos = new Chaos(flags);
  for (const signal of ['SIGINT', 'SIGTERM'] as const) {
    process.once(signal, () => void chaos.stop().finally(() => process.exit(1)));
  }
  try {
    await chaos.run();
  } catch (failure) {
    process.stderr.write(`chaos: ${failure instanceof Error ? failure.message : String(failure)}\n`);
    process.exitCode = 1;
  } finally {
    await chaos.stop();
  }
  const { results, machine } = chaos;
  if (machine === undefined) process.exit(1);
  const run = { at: startedAt, command: commandOf(flags), seconds: flags.seconds, lanes: LANES, machine };
  if (flags.write && process.exitCode !== 1) await writeMeasured(DOCS, markdownReport(run, results));
  process.stdout.write(flags.json ? `${JSON.stringify({ run, results }, null, 2)}\n` : terminalReport(results));
  process.exit(process.exitCode === 1 || results.some(({ problems }) => problems.length > 0) ? 1 : 0);
}

async function runLedger({ rounds, seed, victims, json, write }: LedgerFlags): Promise<void> {
  const at = new Date().toISOString();
  const result = await runLedgerRounds({
    ...{ rounds, seed, victims, onProgress: passing },
    onRound: ({ round, victim, afterMs, downMs, asked, served }) =>
      progress(
        `${round}/${rounds} ${victim} killed after ${afterMs} ms, back after ${downMs} ms: ${served} of ${asked} served`,
      ),
  });
  const command = `npm run chaos -- ledger${rounds === ROUNDS ? '' : ` --rounds ${rounds}`}${seed === 1 ? '' : ` --seed ${seed}`}`;
  const run = { at, command, machine: describeMachine(result.versions) };
  if (write) await writeMeasured(DOCS, markdownLedgerReport(run, result), 'ledger');
  const plain = (_key: string, value: unknown): unknown => (typeof value === 'bigint' ? value.toString() : value);
  process.stdout.write(json ? `${JSON.stringify({ run, result }, plain, 2)}\n` : terminalLedgerReport(result));
  process.exit(result.problems.length > 0 ? 1 : 0);
}
