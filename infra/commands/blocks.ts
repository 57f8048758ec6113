import type { Command } from 'commander';
import type { Block } from '../../services/ledger/rules/blocks.ts';
import type { Config } from '../../shared/config.ts';
import { actorHere } from './actor-here.ts';
import type { OpenLedger } from './open-ledger.ts';
import { loadCommandConfig, withConfigOptions, withJson } from './options.ts';
import type { ConfigFlags } from './options.ts';
import type { Column } from './table.ts';
import { note, print, printJson } from './terminal.ts';

interface Flags extends ConfigFlags {
  readonly json?: true;
}

const SCOPE =
  'total, or kind:id: team:search, user:ada, key:<name or id>, model:openai/gpt-4o, tag:env=test; user:* for all';

export function addBlockCommands(program: Command): void {
  withConfigOptions(withJson(program.command('block')), 'dataDir')
    .description('refuse all requests of a scope, at once, until it is unblocked')
    .argument('<scope>', SCOPE)
    .requiredOption('-r, --reason <why>', 'callers are told')
    .addHelpText('after', '\nExamples:\n  $ sluice block team:search --reason "runaway loop, ask ops"')
    .action(blockCommand);

  withConfigOptions(withJson(program.command('unblock')), 'dataDir')
    .description('serve the requests of a blocked scope again')
    .argument('<scope>', SCOPE)
    .addHelpText('after', '\nExamples:\n  $ sluice unblock team:search')
    .action(unblockCommand);

  withConfigOptions(withJson(program.command('blocks')), 'dataDir')
    .description('every scope that is blocked, and why')
    .addHelpText('after', '\nExamples:\n  $ sluice blocks\n  $ sluice blocks --json | jq -r ".[].scope"')
    .action(listCommand);
}

async function blockCommand(said: string, { json, reason, ...flags }: Flags & { reason: string }): Promise<void> {
  const { blockScope } = await import('../../services/ledger/rules/blocks.ts');
  const by = actorHere().keyId;
  await change(said, flags, json, 'block', (db, scope) => blockScope(db, { scope, reason, by }));
}

async function unblockCommand(said: string, { json, ...flags }: Flags): Promise<void> {
  const { unblockScope } = await import('../../services/ledger/rules/blocks.ts');
  await change(said, flags, json, 'unblock', unblockScope);
}

async function change(
  said: string,
  flags: ConfigFlags,
  json: true | undefined,
  action: 'block' | 'unblock',
  make: (db: OpenLedger['db'], scope: string) => Promise<Block>,
): Promise<void> {
  const { inAuditedRevision } = await import('../../services/ledger/admin/audited-revision.ts');
  const { blockOf } = await import('../../services/ledger/admin/blocks.ts');
  const { listBlocks } = await import('../../services/ledger/rules/blocks.ts');
  const { announceChange } = await import('./announce-change.ts');
  const { withLedger } = await import('./open-ledger.ts');
  const config = await loadCommandConfig(flags);
  const { block, announcement } = await withLedger(config, {}, async (ledger) => {
    const scope = await scopeOf(said, config, ledger);
    const doer = { actor: actorHere(), now: new Date() };
    const { value, revision } = await inAuditedRevision(ledger.db, doer, async (tx) => {
      const known = (await listBlocks(tx)).find((each) => each.scope === scope);
      const made = await make(tx, scope);
      const before = known === undefined ? null : blockOf(known);
      const after = action === 'block' ? blockOf(made) : null;
      return { value: made, deed: { action, entity: 'block', entityId: scope, before, after } };
    });
    const natsUrl = config.nats.url ?? ledger.gateway?.natsUrl;
    return { block: value, announcement: await announceChange(natsUrl, { revision, scopes: [scope] }) };
  });
  if (json) return printJson({ ...asJson(block), announced: announcement.isSent, note: announcement.text });
  print(`${action === 'block' ? 'Blocked' : 'Unblocked'} ${block.scope}.`);
  note(announcement.text);
}

/** A key may be named as people name it; a scope knows it by its id. */
async function scopeOf(said: string, { auth }: Config, { db, openSecret }: OpenLedger): Promise<string> {
  const name = /^key:(?!key_|config:|jwt:|\*$)(.+)$/.exec(said)?.[1];
  if (name === undefined) return said;
  const isConfigured = auth.keys.some((key) => key.name === name) || (name === 'admin' && auth.adminKey !== undefined);
  if (isConfigured) return `key:config:${name}`;
  const { findKey } = await import('../../services/ledger/principals/keys.ts');
  return `key:${(await findKey(db, name, await openSecret())).id}`;
}

async function listCommand({ json, ...flags }: Flags): Promise<void> {
  const { listBlocks } = await import('../../services/ledger/rules/blocks.ts');
  const { withLedger } = await import('./open-ledger.ts');
  const blocks = await withLedger(await loadCommandConfig(flags), {}, ({ db }) => listBlocks(db));
  if (json) return printJson(blocks.map(asJson));
  if (blocks.length === 0) return print('Nothing is blocked.');
  const { renderTable } = await import('./table.ts');
  print(renderTable(COLUMNS, blocks));
}

const COLUMNS: ReadonlyArray<Column<Block>> = [
  { title: 'scope', cell: ({ scope }) => scope, minWidth: 12 },
  { title: 'reason', cell: ({ reason }) => reason, minWidth: 16 },
  { title: 'by', cell: ({ by }) => by, minWidth: 8, importance: 1 },
  { title: 'since', cell: ({ atEpochMs }) => new Date(atEpochMs).toISOString(), importance: 2 },
];

function asJson({ atEpochMs, ...block }: Block): object {
  return { ...block, blockedAt: new Date(atEpochMs).toISOString() };
}
