import type { Command } from 'commander';
import type { KeySecret } from '../../services/ledger/principals/key-secret.ts';
import type { KeyRecord } from '../../services/ledger/principals/keys.ts';
import type { Database } from '../../services/ledger/database/schema.ts';
import type { OperationId } from '../../shared/admin/operations.ts';
import type { Config } from '../../shared/config.ts';
import { GatewayError } from '../../shared/errors.ts';
import { actorHere } from './actor-here.ts';
import type { Announcement } from './announce-change.ts';
import { CommandError } from './failure.ts';
import type { KeyFields } from './key-options.ts';
import { duration, specOf, withFields } from './key-options.ts';
import type { ListedKey } from './keys-table.ts';
import { asJson, keyAsJson, printKey, printKeys } from './keys-table.ts';
import { loadCommandConfig, withConfigOptions, withJson } from './options.ts';
import type { ConfigFlags } from './options.ts';
import { note, print, printJson, styled } from './terminal.ts';

interface Flags extends ConfigFlags {
  readonly json?: true;
}

const WHICH = 'its id, name, prefix or token';

export function addKeysCommands(program: Command): void {
  const keys = program
    .command('keys')
    .description('the keys that clients carry: create, list, update, rotate, block, revoke');
  keys.addHelpText(
    'after',
    '\nExamples:\n  $ sluice keys create --name alice --team web\n  $ sluice keys list\n  $ sluice keys rotate alice --overlap 24h\n  $ sluice keys revoke alice',
  );

  const create = withConfigOptions(withJson(keys.command('create')), 'dataDir')
    .description('make a key; its token is shown once')
    .requiredOption('-n, --name <name>', 'what reports call it')
    .option('--admin', 'the same as --role owner');
  withFields(create)
    .addHelpText(
      'after',
      `
Examples:
  $ sluice keys create --name alice --team web
  $ sluice keys create --name ci --models "openai/*" --networks 10.0.0.0/8 --expires 90d --tag env=test
  $ KEY=$(sluice keys create --name bot --json | jq -r .token)`,
    )
    .action(createCommand);

  const update = withConfigOptions(withJson(keys.command('update')), 'dataDir')
    .description('say parts of a key anew, for requests that come from now on; what is not named stays')
    .argument('<key>', WHICH)
    .option('-n, --name <name>', 'what reports call it');
  withFields(update)
    .addHelpText(
      'after',
      `
The word none takes away its team, user, organisation or role; all takes away a restriction; --tag env= a tag.

Examples:
  $ sluice keys update ci --models "openai/*,anthropic/*" --expires never
  $ sluice keys update alice --team search --networks all --tag env=prod`,
    )
    .action(updateCommand);

  withConfigOptions(withJson(keys.command('list')), 'dataDir')
    .description('every key, those of the configuration and the revoked ones too')
    .addHelpText('after', '\nExamples:\n  $ sluice keys list\n  $ sluice keys list --json | jq -r ".[].name"')
    .action(listCommand);

  withConfigOptions(withJson(keys.command('show')), 'dataDir')
    .description('everything about one key, but for its token')
    .argument('<key>', WHICH)
    .addHelpText('after', '\nExamples:\n  $ sluice keys show alice\n  $ sluice keys show sk-sluice-ab12 --json')
    .action(showCommand);

  withConfigOptions(withJson(keys.command('rotate')), 'dataDir')
    .description('give a key a new token, shown once; the old one works on for a while')
    .argument('<key>', WHICH)
    .option('--overlap <time>', 'how long the old token works: 0s to 92d', duration, DEFAULT_OVERLAP_MS)
    .addHelpText('after', '\nExamples:\n  $ sluice keys rotate alice\n  $ sluice keys rotate alice --overlap 0s')
    .action(rotateCommand);
  // Commander would print the default as a number of milliseconds.
  const overlap = keys.commands.at(-1)?.options.find(({ long }) => long === '--overlap');
  overlap?.default(overlap.defaultValue, '24h');

  addChange(keys, 'block', 'switch a key off, at once, until it is unblocked', 'Blocked');
  addChange(keys, 'unblock', 'switch a blocked key on again', 'Unblocked');
  addChange(keys, 'revoke', 'end a key for ever, at once', 'Revoked');
}

/** A client is rarely deployed more slowly than within a day. */
const DEFAULT_OVERLAP_MS = 24 * 60 * 60_000;

type Creation = KeyFields & { readonly name: string; readonly admin?: true };

async function createCommand({ json, config: file, dataDir, ...flags }: Flags & Creation): Promise<void> {
  const { createKey } = await import('../../services/ledger/principals/keys.ts');
  const { withLedger } = await import('./open-ledger.ts');
  const { admin, name, ...fields } = flags;
  const spec = { ...(admin === true && { role: 'owner' as const }), ...specOf(fields, {}), name };
  const config = await loadCommandConfig(configFlags(file, dataDir));
  const { inAuditedRevision } = await import('../../services/ledger/admin/audited-revision.ts');
  const { keyOf } = await import('../../services/ledger/admin/keys.ts');
  const doer = { actor: actorHere(), now: new Date() };
  const { value: key } = await withLedger(config, { mayCreate: true }, async ({ db, openSecret }) => {
    const secret = await openSecret();
    return inAuditedRevision(db, doer, async (tx) => {
      const made = await createKey(tx, spec, secret);
      const after = keyOf(made, doer.now);
      return { value: made, deed: { action: 'createKey', entity: 'key', entityId: made.id, before: null, after } };
    });
  });
  if (json) return printJson({ ...keyAsJson(key), token: key.token });
  print(key.token);
  note(
    `\nThis is the key "${key.name}". ${styled('bold', 'It is shown this once')}: only its hash is kept. Lost, it is revoked and made anew.`,
  );
  note(`Clients send it as their API key: export OPENAI_API_KEY=${key.prefix}…`);
}

async function updateCommand(
  which: string,
  { json, config: file, dataDir, ...fields }: Flags & KeyFields,
): Promise<void> {
  if (Object.keys(fields).length === 0)
    throw new CommandError('Nothing is named that is to change: see `sluice keys update --help`.');
  const { updateKey } = await import('../../services/ledger/principals/keys.ts');
  const config = await loadCommandConfig(configFlags(file, dataDir));
  const { value: key, announcement } = await changeKey(config, which, 'updateKey', (tx, { id, tags }) =>
    updateKey(tx, id, specOf(fields, tags)),
  );
  if (json) return printJson({ ...keyAsJson(key), ...announced(announcement) });
  printKey(key);
  note(announcement.text);
}

async function listCommand({ json, ...flags }: Flags): Promise<void> {
  const { listKeys } = await import('../../services/ledger/principals/keys.ts');
  const { withLedger } = await import('./open-ledger.ts');
  const config = await loadCommandConfig(flags);
  const stored = await withLedger(config, {}, ({ db }) => listKeys(db));
  const keys: ListedKey[] = [
    ...configuredKeys(config),
    ...stored.map((key) => ({ ...key, source: 'database' as const })),
  ];
  if (json) return printJson(keys.map(asJson));
  if (keys.length === 0) return print('There are no keys yet: `sluice keys create --name <name>` makes one.');
  await printKeys(keys);
}

function configuredKeys({ auth }: Config): ListedKey[] {
  const admin =
    auth.adminKey === undefined
      ? []
      : [{ name: 'admin', team: null, role: 'owner' as const, isAdmin: true, overrides: 'all' as const }];
  const clients = auth.keys.map(({ name, team, overrides, policy: { role = null, expiresEpochMs = null } }) => ({
    ...{ name, team: team ?? null, role, isAdmin: role === 'owner' || role === 'admin', overrides, expiresEpochMs },
  }));
  return [...admin, ...clients].map((key) => ({ ...key, source: 'configuration' }));
}

async function showCommand(which: string, { json, ...flags }: Flags): Promise<void> {
  const { withLedger } = await import('./open-ledger.ts');
  const config = await loadCommandConfig(flags);
  const key = await withLedger(config, {}, async ({ db, openSecret }) => {
    const { findKey } = await import('../../services/ledger/principals/keys.ts');
    return findKey(db, which, await openSecret()).catch((failure: unknown) => {
      throw explainConfigured(config, which, failure);
    });
  });
  if (json) return printJson(keyAsJson(key));
  printKey(key);
}

async function rotateCommand(which: string, { json, overlap, ...flags }: Flags & { overlap: number }): Promise<void> {
  const { rotateKey } = await import('../../services/ledger/principals/keys.ts');
  const config = await loadCommandConfig(flags);
  const { value: key, announcement } = await changeKey(config, which, 'rotateKey', (tx, { id }, secret) =>
    rotateKey(tx, id, { secret, overlapMs: overlap }),
  );
  if (json) return printJson({ ...keyAsJson(key), token: key.token, ...announced(announcement) });
  print(key.token);
  const until = key.oldTokenUntilEpochMs === null ? '' : new Date(key.oldTokenUntilEpochMs).toISOString();
  note(`\nThis is the new token of the key "${key.name}". ${styled('bold', 'It is shown this once')}.`);
  note(overlap === 0 ? 'The old one works no more.' : `The old one works until ${until}.`);
  note(announcement.text);
}

type ChangeName = 'block' | 'unblock' | 'revoke';

function addChange(keys: Command, name: ChangeName, description: string, done: string): void {
  withConfigOptions(withJson(keys.command(name)), 'dataDir')
    .description(description)
    .argument('<key>', WHICH)
    .addHelpText('after', `\nExamples:\n  $ sluice keys ${name} alice\n  $ sluice keys ${name} sk-sluice-ab12`)
    .action(async (which: string, { json, ...flags }: Flags) => {
      const { blockKey, revokeKey, unblockKey } = await import('../../services/ledger/principals/keys.ts');
      const change = { block: blockKey, unblock: unblockKey, revoke: revokeKey }[name];
      const config = await loadCommandConfig(flags);
      const { value: key, announcement } = await changeKey(config, which, `${name}Key`, (tx, { id }) => change(tx, id));
      if (json) return printJson({ ...keyAsJson(key), ...announced(announcement) });
      print(`${done} the key "${key.name}" (${key.prefix}…, ${key.id}).`);
      note(announcement.text);
    });
}

/** Changes the one key that is meant, records it, and tells the ingresses. */
async function changeKey<T extends KeyRecord>(
  config: Config,
  which: string,
  action: OperationId,
  change: (tx: Database, key: KeyRecord, secret: KeySecret) => Promise<T>,
): Promise<{ readonly value: T; readonly announcement: Announcement }> {
  const { findKey } = await import('../../services/ledger/principals/keys.ts');
  const { inAuditedRevision } = await import('../../services/ledger/admin/audited-revision.ts');
  const { keyOf } = await import('../../services/ledger/admin/keys.ts');
  const { announceChange } = await import('./announce-change.ts');
  const { withLedger } = await import('./open-ledger.ts');
  return withLedger(config, {}, async ({ db, gateway, openSecret }) => {
    const secret = await openSecret();
    const key = await findKey(db, which, secret).catch((failure: unknown) => {
      throw explainConfigured(config, which, failure);
    });
    const doer = { actor: actorHere(), now: new Date() };
    const { value, revision } = await inAuditedRevision(db, doer, async (tx) => {
      const changed = await change(tx, key, secret);
      const [before, after] = [keyOf(key, doer.now), keyOf(changed, doer.now)];
      return { value: changed, deed: { action, entity: 'key', entityId: key.id, before, after } };
    });
    const announcement = await announceChange(config.nats.url ?? gateway?.natsUrl, { revision, keys: [key.id] });
    return { value, announcement };
  });
}

function announced({ isSent, text }: Announcement): object {
  return { announced: isSent, note: text };
}

function configFlags(config: string | undefined, dataDir: string | undefined): ConfigFlags {
  return { ...(config !== undefined && { config }), ...(dataDir !== undefined && { dataDir }) };
}

/** Whoever looks for a key of the file in the database is told where it is. */
function explainConfigured(config: Config, which: string, failure: unknown): unknown {
  const key = config.auth.keys.find(({ name, key }) => name === which || key === which);
  const isAdmin = which === 'admin' && config.auth.adminKey !== undefined;
  if ((key === undefined && !isAdmin) || !(failure instanceof GatewayError)) return failure;
  return new CommandError(
    `${failure.message} A key of the configuration is ended there: take it out of auth in ${config.file ?? 'the environment'} and restart.\n` +
      `At once it is switched off by: sluice block key:config:${key?.name ?? 'admin'} --reason <why>`,
  );
}
