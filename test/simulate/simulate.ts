/**
 * `npm run simulate`: the real decisions about simulated requests, on a virtual clock. Prints tables on stdout and progress
 * on stderr. Exit code 1 when a request never ended; a missed target is only told.
 */
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import { Command, InvalidArgumentError, Option } from 'commander';
import { toSvg } from './chart.ts';
import type { Finished } from './report.ts';
import { sectionOf, summaryOf } from './report.ts';
import type { Scenario, Settings } from './scenario.ts';
import { SCENARIOS } from './scenarios.ts';

const DOCS = new URL('../../docs/', import.meta.url);
const PAGE = new URL('routing-simulation.md', DOCS);
const PLOTS = new URL('simulation/', DOCS);
const REQUESTS = 300_000;
const QUICK_REQUESTS = 20_000;
const BEGIN = '<!-- simulated: begin -->';
const END = '<!-- simulated: end -->';

interface Flags {
  readonly scenario?: readonly Scenario[];
  readonly seed: number;
  readonly requests?: number;
  readonly quick?: true;
  readonly json?: true;
  readonly write?: true;
}

function parseScenarios(text: string): readonly Scenario[] {
  return text.split(',').map((name) => {
    const found = SCENARIOS.find((scenario) => scenario.name === name.trim());
    if (found === undefined)
      throw new InvalidArgumentError(`It is a list of ${SCENARIOS.map((scenario) => scenario.name).join(', ')}.`);
    return found;
  });
}

function parseWhole(text: string): number {
  if (!/^[1-9]\d{0,8}$/.test(text)) throw new InvalidArgumentError('It is a whole number above 0.');
  return Number(text);
}

function progress(text: string): void {
  process.stderr.write(`${(performance.now() / 1_000).toFixed(0).padStart(5)} s  ${text}\n`);
}

function simulate(scenario: Scenario, settings: Settings): Finished {
  const before = process.cpuUsage();
  const result = scenario.run(settings);
  const { user, system } = process.cpuUsage(before);
  return { scenario: { name: scenario.name, title: scenario.title }, result, cpuSeconds: (user + system) / 1e6 };
}

async function writePlots(finished: readonly Finished[]): Promise<void> {
  await mkdir(PLOTS, { recursive: true });
  for (const { result } of finished) {
    for (const chart of result.charts) await writeFile(new URL(`${chart.name}.svg`, PLOTS), toSvg(chart));
  }
}

async function writePage(text: string): Promise<void> {
  const page = await readFile(PAGE, 'utf8');
  const [before, rest] = page.split(BEGIN);
  const after = rest?.split(END)[1];
  if (after === undefined) throw new Error(`${fileURLToPath(PAGE)} has no block between ${BEGIN} and ${END}`);
  await writeFile(PAGE, `${before}${BEGIN}\n\n${text}\n\n${END}${after}`);
}

const flags = new Command('npm run simulate --')
  .description('Simulates routing: the real decision code, a virtual clock, seeded randomness.')
  .addOption(
    new Option('--scenario <names>', `of ${SCENARIOS.map(({ name }) => name).join(', ')}`).argParser(parseScenarios),
  )
  .addOption(new Option('--seed <n>', 'of all that is random').argParser(parseWhole).default(1))
  .addOption(
    new Option('--requests <n>', `about how many for each scenario (default: ${REQUESTS})`).argParser(parseWhole),
  )
  .option('--quick', `${QUICK_REQUESTS} requests for each scenario`)
  .option('--json', 'print JSON')
  .option('--write', 'replace the tables in docs/routing-simulation.md, and the plots beside it')
  .parse()
  .opts<Flags>();

const chosen = flags.scenario ?? SCENARIOS;
if (flags.write === true && chosen.length < SCENARIOS.length) {
  process.stderr.write('simulate: --write replaces all tables, so it takes all scenarios\n');
  process.exit(2);
}
const requests = flags.requests ?? (flags.quick ? QUICK_REQUESTS : REQUESTS);
const finished = chosen.map((scenario) => {
  const settings: Settings = { seed: flags.seed, requests, progress: (text) => progress(`${scenario.name}: ${text}`) };
  return simulate(scenario, settings);
});
const summary = summaryOf(finished, { seed: flags.seed, requests, progress });
const text = [summary, ...finished.map((each) => sectionOf(each, (name) => `simulation/${name}.svg`))].join('\n\n');
if (flags.write === true) {
  await writePlots(finished);
  await writePage(text);
}
process.stdout.write(
  flags.json ? `${JSON.stringify({ seed: flags.seed, requests, finished }, null, 2)}\n` : `${text}\n`,
);
const lost = finished.reduce((sum, { result }) => sum + result.lost, 0);
process.exitCode = lost > 0 ? 1 : 0;
