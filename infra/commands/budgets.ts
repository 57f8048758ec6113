import type { Command } from 'commander';
import { parseDuration } from '../../shared/config/duration.ts';
import type { FieldOption, Thing } from './entity-commands.ts';
import {
  addEntityCommands,
  column,
  listAll,
  NONE,
  performOn,
  printThing,
  printThings,
  withExamples,
  withHere,
} from './entity-commands.ts';
import { amount, moment, wholeNumbers } from './fields.ts';
import { positiveInteger, withConfigOptions, withJson } from './options.ts';
import type { ConfigFlags } from './options.ts';
import { styled } from './terminal.ts';

const DEFAULT_SUBJECTS = 1_000;
const MAX_SUBJECTS = 100_000;

const FIELDS: readonly FieldOption[] = [
  { flags: '--amount <amount>', help: '"50 USD"', field: 'amount', read: amount },
  {
    flags: '--per <period>',
    help: 'day, week, month, total, or the length of one that rolls: 24h',
    field: 'per',
    read: (text) => (/^\d/.test(text) ? { rolling: text } : text),
    isFixed: true,
  },
  {
    flags: '--time-zone <name>',
    help: 'of its days, weeks and months: Europe/Berlin (default: UTC)',
    field: 'time_zone',
    isFixed: true,
  },
  { flags: '--name <name>', help: 'what people call it', field: 'name' },
  { flags: '--soft', help: 'refuse nothing; it may be overshot', field: 'hard', means: false },
  { flags: '--hard', help: 'never overshot (default)', field: 'hard', means: true },
  {
    flags: '--on-limit <what>',
    help: 'at its end: reject, queue, queue:<how long>, downgrade:<route> (default: reject; a soft one then only counts and alerts)',
    field: 'on_limit',
    read: readOnLimit,
  },
  { flags: '--alert-at <percents>', help: 'tell at these: 50,80,100 (default)', field: 'alert_at', read: percents },
];

const AT_ITS_END = column('on_limit', { title: 'at its end', minWidth: 8, importance: 4 });

/** A soft budget refuses nobody. */
function onlyAlerts({ hard, on_limit }: Thing): boolean {
  return hard === false && on_limit === 'reject';
}

export function addBudgetsCommands(program: Command): void {
  const budgets = addEntityCommands(program, {
    noun: 'budgets',
    one: 'budget',
    description: 'what may be spent: list, show, create, update, raise, state, delete',
    operations: {
      list: 'listBudgets',
      show: 'getBudget',
      create: 'createBudget',
      update: 'updateBudget',
      delete: 'deleteBudget',
    },
    subject: { field: 'scope', help: 'total, team:search, key:<id>, tag:env=prod, or user:* for each user apart' },
    fields: FIELDS,
    filters: [{ flags: '--scope <scope>', help: 'only those of this one', field: 'scope' }],
    columns: [
      column('name', { minWidth: 12, importance: 6 }),
      column('scope', { minWidth: 12 }),
      column('amount', { align: 'right' }),
      { title: 'per', cell: perOf },
      { title: 'sort', cell: ({ hard }) => (hard === true ? 'hard' : 'soft'), importance: 5 },
      { ...AT_ITS_END, cell: (budget) => (onlyAlerts(budget) ? 'only alerts' : AT_ITS_END.cell(budget)) },
      column('raise', { minWidth: 8, importance: 2 }),
      {
        title: 'from',
        cell: ({ configured }) => (configured === true ? 'configuration' : 'database'),
        importance: 1,
      },
      column('id', { importance: 3 }),
    ],
    examples: {
      id: '<id>',
      create: [
        'team:search --amount "50 USD" --per day --time-zone Europe/Berlin',
        '"user:*" --amount "1 USD" --per 24h --on-limit downgrade:local-chat',
      ],
      update: ['--amount "80 USD" --alert-at 50,90,100'],
    },
  });

  const raise = withConfigOptions(withJson(budgets.command('raise')), 'dataDir');
  withExamples(raise, ['budgets raise <id> --by "25 USD" --until 7d', 'budgets raise <id> --by 0'])
    .description('raise a budget for a time, in place of an earlier raise')
    .argument('<budget>', 'its id')
    .requiredOption('--by <amount>', 'besides its amount: "25 USD"; 0 ends a raise', amount)
    .option('--until <when>', 'a date, or a time from now: 24h, 7d', moment(Date.now, parseDuration))
    .action(
      async (
        budget: string,
        { json, by, until, ...flags }: ConfigFlags & { json?: true; by: string; until?: string },
      ) =>
        printThing(await performOn(flags, 'raiseBudget', { params: { budget }, body: { by, until } }), json === true),
    );

  const state = withConfigOptions(withJson(budgets.command('state')), 'dataDir');
  withExamples(state, ['budgets state <id>', 'budgets state <id> --subject user:ada'])
    .description('how a budget stands: spent, reserved, and what remains; of a pattern for each apart')
    .argument('<budget>', 'its id')
    .option('--subject <scope>', 'only this one')
    .option('-n, --limit <count>', 'at most so many', positiveInteger(MAX_SUBJECTS), DEFAULT_SUBJECTS)
    .action(stateCommand);
}

async function stateCommand(
  budget: string,
  { json, subject, limit, ...flags }: ConfigFlags & { json?: true; subject?: string; limit: number },
): Promise<void> {
  const query = subject === undefined ? {} : { subject };
  const states = await withHere(flags, (here) =>
    listAll(here, 'listBudgetState', { params: { budget }, query }, limit),
  );
  await printThings({ noun: 'subjects that have used it', columns: STATE_COLUMNS }, states, json === true);
}

const STATE_COLUMNS = [
  column('subject', { minWidth: 12 }),
  column('limit', { align: 'right', importance: 3 }),
  column('spent', { align: 'right' }),
  column('reserved', { align: 'right', importance: 2 }),
  { ...column('remaining', { align: 'right' }), cell: ({ remaining }: Thing) => styled('bold', String(remaining)) },
  column('excess', { align: 'right', importance: 1 }),
  column('renews_at', { title: 'renews', importance: 4 }),
];

function perOf({ per }: Thing): string {
  return typeof per === 'object' && per !== null && 'rolling' in per ? String(per.rolling) : String(per);
}

function readOnLimit(text: string): unknown {
  const [kind, value] = text.split(/:(.*)/s);
  return value === undefined ? text : { [kind ?? '']: value };
}

function percents(text: string): number[] {
  return text === NONE ? [] : wholeNumbers(text);
}
