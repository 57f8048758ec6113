/**
 * `npm run bench`: provider, yardstick, gateway and load in one run, side by side. Prints tables on stdout and progress
 * on stderr. Exit code 1 when something broke (errors, hung or unaccounted requests); a missed target is only told.
 */
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { Command, InvalidArgumentError, Option } from 'commander';
import { writeMeasured } from '../support/measured-block.ts';
import { settle } from './account.ts';
import type { Account } from './account.ts';
import { measureAdmissions } from './admission.ts';
import type { AdmissionCost } from './admission.ts';
import { measureDecisions } from './decisions.ts';
import type { Decision } from './decisions.ts';
import type { GatewayOptions } from './gateway.ts';
import { measureHang } from './hang.ts';
import type { Hung } from './hang.ts';
import { describeMachine } from './machine.ts';
import type { Machine } from './machine.ts';
import { measureHeld } from './held.ts';
import type { Held } from './held.ts';
import { measureLedger } from './ledger.ts';
import type { LedgerResult } from './ledger.ts';
import { measure, warmUp } from './measure.ts';
import type { Measurement } from './measure.ts';
import { measureMemory } from './memory.ts';
import type { MemoryResult } from './memory.ts';
import { summarise } from './profile.ts';
import { startBenchProvider } from './provider.ts';
import type { BenchProvider } from './provider.ts';
import { report } from './report.ts';
import type { Run } from './report.ts';
import { GROUPS, admissionRequests, hangScenario, RULES_SCENARIOS, rulesWindow, scenarios } from './scenarios.ts';
import type { Group, RulesScenario, Scenario } from './scenarios.ts';
import { directSide, startSluice, startYardstick } from './sides.ts';
import type { Side } from './sides.ts';
import { checkTargets, findProblems } from './targets.ts';

interface Flags {
  readonly quick?: true;
  readonly json?: true;
  readonly only?: readonly Group[];
  readonly rounds?: number;
  readonly nats?: string;
  readonly processes?: true;
  readonly out?: string;
  readonly profile?: string;
  readonly writeDocs?: true;
  readonly events?: number;
}

const DOCS = fileURLToPath(new URL('../../docs/performance.md', import.meta.url));
/** Not in git. */
const PROFILES = '.sluice/profiles';
const PROFILE_ROWS = 25;
/** A mid-sized company's month. */
const LEDGER_EVENTS = 1_000_000;
const LEDGER_EVENTS_QUICK = 100_000;

class Bench {
  readonly #flags: Flags;
  readonly #provider: BenchProvider;
  readonly #undo: Array<() => Promise<void>> = [];
  readonly rounds: number;
  readonly measurements: Measurement[] = [];
  readonly accounts: Account[] = [];
  readonly held: Held[] = [];
  readonly hung: Hung[] = [];
  readonly decisions: Decision[] = [];
  readonly admissions: AdmissionCost[] = [];
  readonly mishaps: string[] = [];
  memory: MemoryResult | undefined;
  ledger: LedgerResult | undefined;
  machine: Machine | undefined;

  constructor(flags: Flags, provider: BenchProvider) {
    this.#flags = flags;
    this.#provider = provider;
    this.rounds = flags.rounds ?? (flags.quick ? 1 : 2);
    this.#undo.push(() => provider.stop());
  }

  async run(): Promise<void> {
    const isWanted = (group: Group): boolean => this.#flags.only?.includes(group) ?? true;
    if (isWanted('decide')) this.#decide();
    if (isWanted('admission')) await this.#admit();
    const wanted = scenarios(this.#flags.quick === true).filter(({ group }) => isWanted(group));
    const shared = wanted.filter(({ isFresh }) => !isFresh);
    const fresh = wanted.filter(({ isFresh }) => isFresh);
    if (shared.length > 0) {
      await this.#withSides(shared.map(({ name }) => name).join(', '), async (sides) => {
        for (let round = 1; round <= this.rounds; round++) await this.#round(round, shared, sides);
      });
    }
    for (const scenario of fresh) {
      for (let round = 1; round <= this.rounds; round++) {
        await this.#withSides(`${scenario.name}, round ${round}`, async (sides) => {
          await this.#round(round, [scenario], sides);
          for (const side of sides) {
            const held = await measureHeld(scenario, { side, provider: this.#provider, round });
            if (held !== undefined) this.held.push(held);
          }
        });
      }
    }
    if (isWanted('rules')) await this.#rules();
    if (isWanted('hang')) await this.#hang();
    if (isWanted('memory')) await this.#memory();
    if (isWanted('ledger')) await this.#ledger();
  }

  async stop(): Promise<void> {
    for (const step of this.#undo.splice(0).reverse()) await step();
  }

  /** Each scenario on all sides in turn; who begins changes from round to round. */
  async #round(round: number, of: readonly Scenario[], sides: readonly Side[]): Promise<void> {
    const first = (round - 1) % sides.length;
    const order = [...sides.slice(first), ...sides.slice(0, first)];
    for (const scenario of of) {
      for (const side of order) {
        const options = { side, provider: this.#provider, round };
        const measured = await this.#profiled(scenario, options, () => measure(scenario, options));
        this.measurements.push(measured);
        this.#tell(measured);
      }
    }
  }

  #tell(measured: Measurement): void {
    const { round, scenario, side } = measured;
    progress(`round ${round}/${this.rounds}  ${scenario.padEnd(12)} ${side.padEnd(9)} ${brief(measured)}`);
  }

  #decide(): void {
    progress('decisions of the router');
    for (let round = 1; round <= this.rounds; round++)
      this.decisions.push(...measureDecisions(round, this.#flags.quick === true));
    this.machine ??= describeMachine();
  }

  async #admit(): Promise<void> {
    progress('limits of one request');
    const requests = admissionRequests(this.#flags.quick === true);
    for (let round = 1; round <= this.rounds; round++)
      this.admissions.push(...(await measureAdmissions(round, requests)));
    this.machine ??= describeMachine();
  }

  /** A provider that hangs for each round: none has met a breaker that an earlier round has opened. */
  async #hang(): Promise<void> {
    const side = await this.#start(() => this.#startSluice({ hanging: this.rounds }));
    await this.#warmUp(side);
    for (let round = 1; round <= this.rounds; round++) {
      const options = { side, provider: this.#provider, round };
      const { measurements, hung } = await measureHang(
        hangScenario(this.#flags.quick === true),
        options,
        (name, work) =>
          this.#profiled({ name }, options, async () => {
            const measured = await work();
            this.#tell(measured);
            return measured;
          }),
      );
      this.measurements.push(...measurements);
      this.hung.push(hung);
      progress(`${hung.sent} requests to the provider that hangs: ${JSON.stringify(hung.status)}`);
    }
    await this.#close('hang', side);
  }

  /** Two gateways at once, of which one idles while the other is measured; who begins changes from round to round. */
  async #rules(): Promise<void> {
    const window = rulesWindow(this.#flags.quick === true);
    const sides = new Map<RulesScenario, Side>();
    for (const name of RULES_SCENARIOS) {
      const side = await this.#start(() => this.#startSluice({ hasRules: name === 'rules-all' }));
      await this.#warmUp(side);
      sides.set(name, side);
    }
    for (let round = 1; round <= this.rounds; round++) {
      const order = [...sides];
      for (const [name, side] of round % 2 === 0 ? order.toReversed() : order) {
        const options = { side, provider: this.#provider, round };
        const measured = await this.#profiled({ name }, options, () => measure({ name, ...window }, options));
        this.measurements.push(measured);
        this.#tell(measured);
      }
    }
    for (const [name, side] of sides) await this.#close(name, side);
  }

  async #memory(): Promise<void> {
    const side = await this.#start(() => this.#startSluice());
    await this.#warmUp(side);
    progress('memory: counting what is left after many requests');
    this.memory = await measureMemory({ side, provider: this.#provider, round: 1 }, this.#flags.quick === true);
    await this.#close('memory', side);
  }

  /** Alone: no gateway runs meanwhile. */
  async #ledger(): Promise<void> {
    const isQuick = this.#flags.quick === true;
    const events = this.#flags.events ?? (isQuick ? LEDGER_EVENTS_QUICK : LEDGER_EVENTS);
    this.ledger = await measureLedger({ events, isQuick, tell: progress });
    this.machine ??= describeMachine({ postgres: this.ledger.postgres });
  }

  async #withSides(what: string, work: (sides: readonly Side[]) => Promise<void>): Promise<void> {
    const sides: Side[] = [directSide(this.#provider)];
    sides.push(await this.#start(() => startYardstick(this.#provider)));
    const sluice = await this.#start(() => this.#startSluice());
    sides.push(sluice);
    progress('warming up');
    for (const side of sides) await this.#warmUp(side);
    await work(sides);
    await this.#close(what, sluice);
    for (const side of sides) await side.stop();
  }

  async #warmUp(side: Side): Promise<void> {
    const errors = await warmUp({ side, provider: this.#provider });
    if (Object.keys(errors).length > 0) this.mishaps.push(`warm-up, ${side.name}: ${JSON.stringify(errors)}`);
  }

  async #startSluice(more: Pick<GatewayOptions, 'hanging' | 'hasRules'> = {}): Promise<Side> {
    progress('starting the gateway');
    const { nats, processes } = this.#flags;
    const options = { provider: this.#provider, isScaledOut: processes === true, natsBinary: nats, ...more };
    const side = await startSluice(options);
    if (side.gateway !== undefined) this.machine = describeMachine(await side.gateway.versions());
    return side;
  }

  /** What was started is stopped at the end of the run at the latest. */
  async #start(start: () => Promise<Side>): Promise<Side> {
    const side = await start();
    let isStopped = false;
    const once = {
      ...side,
      stop: async (): Promise<void> => {
        if (!isStopped) await side.stop();
        isStopped = true;
      },
    };
    this.#undo.push(() => once.stop());
    return once;
  }

  async #close(what: string, side: Side): Promise<void> {
    const account = await settle(what, side, this.#provider);
    this.accounts.push(account);
    progress(
      `ledger: ${account.ledger.requests} of ${account.provider.requests} requests, ${account.caughtUpMs} ms after the last answer`,
    );
    await side.stop();
  }

  async #profiled<T>(
    scenario: { name: string },
    { side, round }: { side: Side; round: number },
    work: () => Promise<T>,
  ): Promise<T> {
    const folder = this.#flags.profile;
    if (folder === undefined || side.gateway === undefined) return work();
    const inspector = await side.inspector();
    if (inspector === undefined) return work();
    await inspector.startProfile();
    const result = await work();
    const profile = await inspector.stopProfile();
    await mkdir(folder, { recursive: true });
    const file = join(folder, `${scenario.name}-${round}.cpuprofile`);
    await writeFile(file, JSON.stringify(profile));
    const { busyMs, functions, packages } = summarise(profile, PROFILE_ROWS);
    const lines = [...packages, ...functions].map(
      ({ name, ratio }) => `  ${(100 * ratio).toFixed(1).padStart(5)} %  ${name}`,
    );
    process.stderr.write(
      `${file}: busy for ${Math.round(busyMs)} ms, self time by package, then by function\n${lines.join('\n')}\n`,
    );
    return result;
  }
}

function brief({ load, otherCores }: Measurement): string {
  const { stream } = load;
  const seen =
    stream === undefined
      ? `${Math.round(load.rps)} requests/s, p50 ${load.lat_ms?.p50} ms, p99 ${load.lat_ms?.p99} ms`
      : `${stream.complete}/${load.sent} complete, first token p50 ${stream.ttft_ms?.p50} ms, gap p99 ${stream.gap_ms?.p99} ms`;
  const errors = Object.entries(load.errors).map(([kind, times]) => `, ${times} × ${kind}`);
  return `${seen}${errors.join('')}${otherCores === undefined ? '' : ` (others: ${otherCores.toFixed(2)} cores)`}`;
}

function progress(text: string): void {
  process.stderr.write(`${(performance.now() / 1_000).toFixed(0).padStart(5)} s  ${text}\n`);
}

function parseGroups(text: string): readonly Group[] {
  return text.split(',').map((name) => {
    const group = GROUPS.find((known) => known === name.trim());
    if (group === undefined) throw new InvalidArgumentError(`It is a list of ${GROUPS.join(', ')}.`);
    return group;
  });
}

function parseRounds(text: string): number {
  if (!/^[1-9]\d?$/.test(text)) throw new InvalidArgumentError('It is a number from 1 to 99.');
  return Number(text);
}

function parseEvents(text: string): number {
  if (!/^[1-9]\d{3,8}$/.test(text)) throw new InvalidArgumentError('It is a number from 1000 to 999999999.');
  return Number(text);
}

/** What the figures depend on, without this machine's paths. */
function commandOf({ quick, only, rounds, processes, profile, events }: Flags): string {
  const words = [
    ...(quick ? ['--quick'] : []),
    ...(only === undefined ? [] : ['--only', only.join(',')]),
    ...(rounds === undefined ? [] : ['--rounds', String(rounds)]),
    ...(events === undefined ? [] : ['--events', String(events)]),
    ...(processes ? ['--processes'] : []),
    ...(profile === undefined ? [] : ['--profile']),
  ];
  return ['npm run bench', ...(words.length > 0 ? ['--', ...words] : [])].join(' ');
}

const program = new Command('npm run bench --')
  .description('Measures the gateway beside the provider alone and a bare fastify + undici proxy.')
  .option('--quick', 'short windows, one round')
  .option('--json', 'print JSON')
  .addOption(new Option('--only <groups>', `of ${GROUPS.join(', ')}`).argParser(parseGroups))
  .addOption(new Option('--rounds <n>', 'how often (default: 2; with --quick 1)').argParser(parseRounds))
  .addOption(
    new Option(
      '--events <n>',
      'that the ledger reports on (default: 1000000; more than 2000000 are made by SQL)',
    ).argParser(parseEvents),
  )
  .option('--nats <binary>', 'the nats-server to run')
  .option('--processes', 'each service a process of its own')
  .option('--out <file>', 'write the results as JSON, too')
  .option('--profile [folder]', 'write a .cpuprofile of the gateway for each scenario, and print what is hot')
  .option('--write-docs', 'replace the tables in docs/performance.md')
  .parse();
const { profile, ...others } = program.opts<Omit<Flags, 'profile'> & { readonly profile?: string | true }>();
const flags: Flags = profile === undefined ? others : { ...others, profile: profile === true ? PROFILES : profile };

const startedAt = new Date().toISOString();
const bench = new Bench(flags, await startBenchProvider());
for (const signal of ['SIGINT', 'SIGTERM'] as const) {
  process.once(signal, () => void bench.stop().finally(() => process.exit(1)));
}
try {
  await bench.run();
} catch (failure) {
  process.stderr.write(`bench: ${failure instanceof Error ? failure.message : String(failure)}\n`);
  process.exitCode = 1;
} finally {
  await bench.stop();
}
if (process.exitCode === 1) process.exit();
if (bench.machine === undefined) throw new Error('nothing was measured');
const run: Run = {
  at: startedAt,
  command: commandOf(flags),
  rounds: bench.rounds,
  isQuick: flags.quick === true,
  isScaledOut: flags.processes === true,
  machine: bench.machine,
};
const { measurements, accounts, memory, ledger, held, hung, decisions, admissions, mishaps } = bench;
const results = { measurements, accounts, memory, ledger, held, hung, decisions, admissions, mishaps };
const targets = checkTargets(results);
const problems = findProblems(results);
const whole = JSON.stringify({ run, targets, problems, ...results }, null, 2);
const text = report(run, results, targets, problems);
if (flags.out !== undefined) await writeFile(flags.out, `${whole}\n`);
if (flags.writeDocs) await writeMeasured(DOCS, text);
process.stdout.write(flags.json ? `${whole}\n` : text);
process.exit(problems.length > 0 ? 1 : 0);
