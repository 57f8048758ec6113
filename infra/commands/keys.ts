import type { Command } from 'commander';
import { InvalidArgumentError } from 'commander';
import type { Config, OverrideName, OverridesAllowed } from '../../shared/config.ts';
import { OVERRIDE_NAMES } from '../../shared/config/types.ts';
import { GatewayError } from '../../shared/errors.ts';
import type { KeyRecord } from '../../services/ledger/keys.ts';
import { CommandError } from './failure.ts';
import { loadCommandConfig, withConfigOptions, withJson } from './options.ts';
import type { ConfigFlags } from './options.ts';
import type { Column } from './table.ts';
import { note, print, printJson, styled } from './terminal.ts';

interface Flags extends ConfigFlags {
  readonly json?: true;
}

const OVERRIDES_HELP = `what its requests may say of their own routing: all, none, or some of ${OVERRIDE_NAMES.join(', ')}`;

export function addKeysCommands(program: Command): void {
  const keys = program.command('keys').description('the keys that clients carry: create, list, revoke');
  keys.addHelpText(
    'after',
    '\nExamples:\n  $ sluice keys create --name alice --team web\n  $ sluice keys list\n  $ sluice keys revoke alice',
  );

  withConfigOptions(withJson(keys.command('create')), 'dataDir')
    .description('make a key; its token is shown once')
    .requiredOption('-n, --name <name>', 'what reports call it')
    .option('-t, --team <team>', 'the team that its usage counts for')
    .option('--admin', 'may administer the gateway')
    .option('-o, --overrides <names>', OVERRIDES_HELP, overrides, 'all')
    .addHelpText(
      'after',
      '\nExamples:\n  $ sluice keys create --name alice --team web\n  $ KEY=$(sluice keys create --name ci --json | jq -r .token)',
    )
    .action(createCommand);

  withConfigOptions(withJson(keys.command('list')), 'dataDir')
    .description('every key, those of the configuration and the revoked ones too')
    .addHelpText('after', '\nExamples:\n  $ sluice keys list\n  $ sluice keys list --json | jq -r ".[].name"')
    .action(listCommand);

  withConfigOptions(withJson(keys.command('revoke')), 'dataDir')
    .description('end a key, at once')
    .argument('<key>', 'its id, name, prefix or token')
    .addHelpText('after', '\nExamples:\n  $ sluice keys revoke alice\n  $ sluice keys revoke sk-sluice-ab12')
    .action(revokeCommand);
}

async function createCommand({
  name,
  team,
  admin,
  overrides,
  json,
  ...flags
}: Flags & { name: string; team?: string; admin?: true; overrides: OverridesAllowed }): Promise<void> {
  const { createKey } = await import('../../services/ledger/keys.ts');
  const { withLedger } = await import('./open-ledger.ts');
  const isAdmin = admin === true;
  const key = await withLedger(await loadCommandConfig(flags), { mayCreate: true }, ({ db }) =>
    createKey(db, { name, team: team ?? null, isAdmin, overrides }),
  );
  if (json) return printJson({ ...key, team: team ?? null, isAdmin, overrides });
  print(key.token);
  note(
    `\nThis is the key "${name}". ${styled('bold', 'It is shown this once')}: only its hash is kept. Lost, it is revoked and made anew.`,
  );
  note(`Clients send it as their API key: export OPENAI_API_KEY=${key.prefix}…`);
}

/** A key as the list shows it; those of the file are named there alone. */
type Listed = Pick<KeyRecord, 'name' | 'team' | 'isAdmin' | 'overrides'> & {
  readonly source: 'database' | 'configuration';
} & Partial<KeyRecord>;

async function listCommand({ json, ...flags }: Flags): Promise<void> {
  const { listKeys } = await import('../../services/ledger/keys.ts');
  const { withLedger } = await import('./open-ledger.ts');
  const config = await loadCommandConfig(flags);
  const stored = await withLedger(config, {}, ({ db }) => listKeys(db));
  const keys: Listed[] = [...configuredKeys(config), ...stored.map((key) => ({ ...key, source: 'database' as const }))];
  if (json) return printJson(keys.map(asJson));
  if (keys.length === 0) return print('There are no keys yet: `sluice keys create --name <name>` makes one.');
  const { renderTable } = await import('./table.ts');
  print(renderTable(COLUMNS, keys));
}

function configuredKeys({ auth }: Config): Listed[] {
  const admin =
    auth.adminKey === undefined ? [] : [{ name: 'admin', team: null, isAdmin: true, overrides: 'all' as const }];
  const clients = auth.keys.map(({ name, team, overrides }) => ({
    ...{ name, team: team ?? null, isAdmin: false, overrides },
  }));
  return [...admin, ...clients].map((key) => ({ ...key, source: 'configuration' }));
}

const COLUMNS: ReadonlyArray<Column<Listed>> = [
  { title: 'name', cell: (key) => key.name, minWidth: 12 },
  { title: 'key', cell: (key) => (key.prefix === undefined ? 'in the configuration' : `${key.prefix}…`) },
  { title: 'team', cell: (key) => key.team ?? '-', minWidth: 8, importance: 4 },
  { title: 'role', cell: (key) => (key.isAdmin ? 'admin' : 'client'), importance: 5 },
  { title: 'overrides', cell: ({ overrides: names }) => saidOf(names), minWidth: 9, importance: 2 },
  { title: 'status', cell: (key) => (key.revokedEpochMs == null ? 'live' : `revoked ${day(key.revokedEpochMs)}`) },
  {
    title: 'created',
    cell: (key) => (key.createdEpochMs === undefined ? '-' : day(key.createdEpochMs)),
    importance: 3,
  },
  { title: 'id', cell: (key) => key.id ?? '-', importance: 1 },
];

/** As `--overrides` takes it. */
function saidOf(names: Listed['overrides']): string {
  if (names === 'all') return names;
  return names.length === 0 ? 'none' : names.join(',');
}

function overrides(text: string): OverridesAllowed {
  if (text === 'all') return text;
  if (text === 'none') return [];
  return text.split(',').map((word): OverrideName => {
    const name = OVERRIDE_NAMES.find((known) => known === word.trim());
    if (name === undefined)
      throw new InvalidArgumentError(`"${word}" is not one of all, none, ${OVERRIDE_NAMES.join(', ')}.`);
    return name;
  });
}

function day(epochMs: number): string {
  return new Date(epochMs).toISOString().slice(0, 10);
}

function asJson({ createdEpochMs, revokedEpochMs, ...key }: Listed): object {
  const at = (epochMs: number | null | undefined): string | null =>
    epochMs == null ? null : new Date(epochMs).toISOString();
  return { ...key, createdAt: at(createdEpochMs), revokedAt: at(revokedEpochMs) };
}

async function revokeCommand(which: string, { json, ...flags }: Flags): Promise<void> {
  const { revokeKey } = await import('../../services/ledger/keys.ts');
  const { announceRevocation } = await import('./announce-revocation.ts');
  const { withLedger } = await import('./open-ledger.ts');
  const config = await loadCommandConfig(flags);
  const { key, announcement } = await withLedger(config, {}, async ({ db, gateway }) => {
    const key = await revokeKey(db, which).catch((failure: unknown) => {
      throw explainConfigured(config, which, failure);
    });
    return { key, announcement: await announceRevocation(config.nats.url ?? gateway?.natsUrl, key) };
  });
  const { hash: _, ...shown } = key;
  if (json)
    return printJson({
      ...asJson({ ...shown, source: 'database' }),
      announced: announcement.isSent,
      note: announcement.text,
    });
  print(`Revoked the key "${key.name}" (${key.prefix}…, ${key.id}).`);
  note(announcement.text);
}

/** Whoever looks for a key of the file in the database is told where it is. */
function explainConfigured(config: Config, which: string, failure: unknown): unknown {
  const isThere =
    config.auth.keys.some(({ name, key }) => name === which || key === which) ||
    (which === 'admin' && config.auth.adminKey !== undefined);
  if (!isThere || !(failure instanceof GatewayError)) return failure;
  return new CommandError(
    `${failure.message} A key of the configuration is ended there: take it out of auth in ${config.file ?? 'the environment'} and restart.`,
  );
}
