import type { Transaction } from 'kysely';
import { sql } from 'kysely';
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import { appendAudit, listAudit, verifyAudit } from './audit.ts';
import type { AuditEntry } from './core/audit-chain.ts';
import { GENESIS_HASH } from './core/audit-chain.ts';
import type { Database, Tables } from './database/schema.ts';
import { freshLedgerDatabase } from './testing/fresh-database.ts';

let close: () => Promise<void>;
let db: Database;

beforeAll(async () => {
  ({ db, close } = await freshLedgerDatabase());
});
afterEach(() => tamper(async (transaction) => void (await sql`delete from audit_records`.execute(transaction))));
afterAll(() => close());

const ENTRY: AuditEntry = {
  at: new Date('2026-11-20T09:30:00.123Z'),
  actor: 'config:admin',
  actorRole: 'owner',
  origin: '127.0.0.1',
  action: 'updateTeam',
  entity: 'team',
  entityId: 'search',
  before: { name: 'Ｓuche "ä" \u2028', tags: { b: '1', a: '2' }, amount: 1e21, part: 0.1, none: null },
  after: { z: 1, a: [true, { y: 2, x: 1 }], money: 12_500_000_000n, gone: undefined },
  requestId: null,
};

async function append(count: number): Promise<void> {
  for (let n = 0; n < count; n++)
    await db.transaction().execute((transaction) => appendAudit(transaction, { ...ENTRY, entityId: `team-${n}` }));
}

/** As somebody may who owns the database, and takes its triggers away. */
async function tamper(work: (transaction: Transaction<Tables>) => Promise<void>): Promise<void> {
  await db.transaction().execute(async (transaction) => {
    await sql`alter table audit_records disable trigger append_only`.execute(transaction);
    await work(transaction);
    await sql`alter table audit_records enable trigger append_only`.execute(transaction);
  });
}

test('an empty chain is whole', async () => {
  expect(await verifyAudit(db)).toEqual({ count: 0, head: GENESIS_HASH });
});

test('what is appended at once by many makes one chain without gaps, whatever comes out of jsonb in another order', async () => {
  await Promise.all(Array.from({ length: 12 }, () => append(3)));
  const [last] = await listAudit(db, {}, { limit: 1 });
  expect(await verifyAudit(db)).toEqual({ count: 36, head: last?.hash });
  expect(last).toMatchObject({ sequence: 36n, after: { money: '12500000000', z: 1 } });
});

test('a change that is rolled back leaves no record and no gap', async () => {
  await append(1);
  const failing = db.transaction().execute(async (transaction) => {
    await appendAudit(transaction, ENTRY);
    throw new Error('no');
  });
  await expect(failing).rejects.toThrow('no');
  await append(1);
  expect(await verifyAudit(db)).toMatchObject({ count: 2 });
});

test.each(['update audit_records set actor = actor', 'delete from audit_records', 'truncate audit_records'])(
  'the table refuses: %s',
  async (statement) => {
    await append(1);
    await expect(sql.raw(statement).execute(db)).rejects.toThrow();
    expect(await verifyAudit(db)).toMatchObject({ count: 1 });
  },
);

describe('what somebody did to the table all the same is found', () => {
  test.each([
    {
      what: 'an edit',
      statement: `update audit_records set actor = 'other' where sequence = 3`,
      fault: 'record 3 was changed',
    },
    {
      what: 'an edit of a state',
      statement: `update audit_records set after = jsonb_set(after, '{z}', '2') where sequence = 3`,
      fault: 'record 3 was changed',
    },
    {
      what: 'an edit of the time',
      statement: `update audit_records set at = at + interval '1 ms' where sequence = 3`,
      fault: 'record 3 was changed',
    },
    {
      what: 'a record taken out',
      statement: 'delete from audit_records where sequence = 3',
      fault: 'record 3 is missing',
    },
    {
      what: 'the first taken out',
      statement: 'delete from audit_records where sequence = 1',
      fault: 'record 1 is missing',
    },
    {
      what: 'a record put before the first',
      statement: `insert into audit_records select 0, at, actor, actor_role, origin, action, entity, entity_id, before, after, request_id, previous_hash, hash from audit_records where sequence = 1`,
      fault: 'record 1 is missing',
    },
    {
      what: 'two in each other’s place',
      statement: `update audit_records set sequence = -4 where sequence = 4;
        update audit_records set sequence = 4 where sequence = 3;
        update audit_records set sequence = 3 where sequence = -4`,
      fault: 'record 3 does not follow the one before it',
    },
  ])('$what', async ({ statement, fault }) => {
    await append(6);
    await tamper(async (transaction) => {
      for (const each of statement.split(';')) await sql.raw(each).execute(transaction);
    });
    expect(await verifyAudit(db)).toMatchObject({ fault });
  });

  test('the end cut off, by who has kept an earlier head', async () => {
    await append(4);
    const { head } = await verifyAudit(db);
    await append(1);
    expect(await verifyAudit(db, head)).not.toHaveProperty('fault');
    await tamper(
      async (transaction) => void (await sql`delete from audit_records where sequence > 3`.execute(transaction)),
    );
    expect(await verifyAudit(db)).not.toHaveProperty('fault');
    expect(await verifyAudit(db, head)).toMatchObject({
      count: 3,
      fault: expect.stringContaining('cut off') as string,
    });
  });
});
