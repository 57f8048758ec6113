import { MIGRATIONS } from '../../services/ledger/database/migrations/index.ts';
import { findPostgres } from '../servers/postgres-binaries.ts';
import { withConnection } from '../servers/postgres-database.ts';
import { reasonOf, withoutCredentials } from '../unreachable.ts';
import { fail, ok, warn } from './check.ts';
import type { Check, Patient } from './check.ts';

/** What the migrations are written for; the embedded one is 18. */
const OLDEST_MAJOR = 14;

/** The server of the configuration, else that of the running gateway, else the programs that a start would run. */
export async function checkPostgres({ config, gateway }: Patient): Promise<Check> {
  if (config.database.url !== undefined) return checkServer(config.database.url, 'yours');
  if (gateway !== undefined) return checkServer(gateway.databaseUrl, `embedded, of process ${gateway.pid}`);
  try {
    const { version } = await findPostgres();
    return ok('postgres', `${version}, embedded`);
  } catch (failure) {
    return fail('postgres', reasonOf(failure), 'run `npm ci`, or set DATABASE_URL to a Postgres server');
  }
}

async function checkServer(url: string, whose: string): Promise<Check> {
  const where = withoutCredentials(url);
  try {
    const { version, applied } = await ask(url);
    const detail = `${version} at ${where} (${whose})`;
    if (Number.parseInt(version, 10) < OLDEST_MAJOR)
      return fail('postgres', `${detail} is too old`, `use Postgres ${OLDEST_MAJOR} or newer`);
    const known = Object.keys(MIGRATIONS);
    const pending = known.filter((name) => !applied.includes(name));
    const foreign = applied.filter((name) => !known.includes(name));
    if (foreign.length > 0)
      return fail(
        'postgres',
        `${detail}: its tables are of a newer Sluice (${foreign.join(', ')})`,
        'run that version, or restore a backup',
      );
    if (pending.length === 0)
      return ok('postgres', `${detail}, ${applied.length} of ${known.length} migrations applied`);
    return warn(
      'postgres',
      `${detail}: not migrated yet: ${pending.join(', ')}`,
      'nothing to do: the ledger does it when it starts',
    );
  } catch (failure) {
    return fail(
      'postgres',
      `${where}: ${reasonOf(failure)}`,
      'start it, or mend DATABASE_URL; without DATABASE_URL, an embedded one is used',
    );
  }
}

function ask(url: string): Promise<{ version: string; applied: string[] }> {
  return withConnection(url, async (client) => {
    const { rows: versions } = await client.query<{ server_version: string }>('show server_version');
    const { rows: found } = await client.query<{ has: boolean }>(
      "select to_regclass('kysely_migration') is not null as has",
    );
    const applied = found[0]?.has
      ? await client.query<{ name: string }>('select name from kysely_migration order by name')
      : { rows: [] };
    // `16.4 (Debian 16.4-1)`
    const version = versions[0]?.server_version.split(' ', 1)[0] ?? 'unknown';
    return { version, applied: applied.rows.map(({ name }) => name) };
  });
}
