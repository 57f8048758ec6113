import type { Command } from 'commander';
import { pointInTime } from './usage-filter.ts';
import { column, listAll, printThings, said, withExamples, withHere } from './entity-commands.ts';
import type { Thing } from './entity-commands.ts';
import { loadCommandConfig, positiveInteger, withConfigOptions, withJson } from './options.ts';
import type { ConfigFlags } from './options.ts';
import { print, printJson } from './terminal.ts';

const DEFAULT_LISTED = 50;
const MAX_LISTED = 100_000;

interface Flags extends ConfigFlags {
  readonly json?: true;
}

interface ListFlags extends Flags {
  readonly limit: number;
  readonly entity?: string;
  readonly id?: string;
  readonly actor?: string;
  readonly since?: number;
}

export function addAuditCommands(program: Command): void {
  const audit = program.command('audit').description('who changed what: list, verify');
  const listing = ['audit list --entity key --since 7d', 'audit list --actor cli:root --json'];
  const verifying = ['audit verify', 'audit verify --head 3f9c…'];
  withExamples(audit, [...listing, ...verifying]);

  withExamples(withConfigOptions(withJson(audit.command('list')), 'dataDir'), listing)
    .description('the last changes, the latest first')
    .option('--entity <sort>', 'only of a team, user, organisation, key, budget, limit or block')
    .option('--id <id>', 'only of the one with this id')
    .option('--actor <actor>', 'only by this one')
    .option('-s, --since <when>', 'from: a time ago (30m, 24h, 7d) or a date', pointInTime)
    .option('-n, --limit <count>', 'at most so many', positiveInteger(MAX_LISTED), DEFAULT_LISTED)
    .action(listCommand);

  withExamples(withConfigOptions(withJson(audit.command('verify')), 'dataDir'), verifying)
    .description('check that no record was changed, taken out or put in; exits with 1 if one was')
    .option('--head <hash>', 'one that this command printed once, and that must still be there')
    .addHelpText(
      'after',
      '\nKeep the hash that it prints somewhere else: whoever owns the database can cut off the end of the chain, and only\nsuch a hash shows it.',
    )
    .action(verifyCommand);
}

async function listCommand({ json, limit, entity, id, actor, since, ...flags }: ListFlags): Promise<void> {
  const query = {
    ...{ entity, entity_id: id, actor },
    ...(since !== undefined && { since: new Date(since).toISOString() }),
  };
  const records = await withHere(flags, (here) => listAll(here, 'listAuditRecords', { query }, limit));
  await printThings({ noun: 'records', columns: COLUMNS }, records, json === true);
}

const COLUMNS = [
  column('sequence', { title: '#', align: 'right' as const, importance: 2 }),
  column('at'),
  column('actor', { minWidth: 10, importance: 5 }),
  column('action'),
  column('entity_id', { title: 'of', minWidth: 10, importance: 4 }),
  { title: 'what', cell: changesOf, minWidth: 16, importance: 3 },
];

/** The fields that differ, as they are now. */
function changesOf({ before, after }: Thing): string {
  const [was, is] = [before, after].map((state) => (state ?? {}) as Record<string, unknown>);
  const isTold = (name: string): boolean => !['object', 'id', 'version', 'created_at', 'updated_at'].includes(name);
  const changed = Object.entries(is ?? {}).filter(
    ([name, value]) => isTold(name) && JSON.stringify(was?.[name]) !== JSON.stringify(value) && said(value) !== '-',
  );
  return changed.map(([name, value]) => `${name}=${said(value)}`).join(' ');
}

async function verifyCommand({ json, head, ...flags }: Flags & { readonly head?: string }): Promise<void> {
  const { verifyAudit } = await import('../../services/ledger/audit.ts');
  const { withLedger } = await import('./open-ledger.ts');
  const verdict = await withLedger(await loadCommandConfig(flags), {}, ({ db }) => verifyAudit(db, head));
  const { count, head: reached, fault } = verdict;
  if (fault !== undefined) process.exitCode = 1;
  if (json) return printJson(verdict);
  const records = count === 1 ? '1 record is' : `${count} records are`;
  if (fault === undefined) return print(`${records} as written.\nhead ${reached}`);
  print(`BROKEN: ${fault}. Up to there ${records} as written.\nlast ${reached}`);
}
