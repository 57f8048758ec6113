import type { Selectable } from 'kysely';
import { sql } from 'kysely';
import { DatabaseError } from 'pg';
import { GatewayError } from '../../../shared/errors.ts';
import type { Database, OrganisationsTable, TeamsTable, UsersTable } from '../database/schema.ts';

/**
 * Organisations, teams and users: what keys belong to and usage is told by. A user or a team may be named by keys and
 * rules before it has a row. Each function takes a database or a transaction of the caller's.
 */

const UNIQUE_VIOLATION = '23505';
const FOREIGN_KEY_VIOLATION = '23503';

export type OrganisationRow = Selectable<OrganisationsTable>;
export type TeamRow = Selectable<TeamsTable>;
export type UserRow = Selectable<UsersTable>;

/** Those after this id, in the order of ids. */
export interface Page {
  readonly limit: number;
  readonly after?: string | undefined;
}

export interface NewOrganisation {
  readonly id: string;
  /** Absent: the id. */
  readonly name?: string | undefined;
  readonly tags?: Readonly<Record<string, string>> | undefined;
}

export interface NewTeam extends NewOrganisation {
  readonly organisation?: string | null | undefined;
}

export interface NewUser extends NewOrganisation {
  readonly team?: string | null | undefined;
  readonly email?: string | null | undefined;
  readonly subject?: string | null | undefined;
}

/** A field that is absent stays as it is. */
export type Change<New extends NewOrganisation> = Partial<Omit<New, 'id'>>;

export async function listOrganisations(db: Database, { limit, after = '' }: Page): Promise<OrganisationRow[]> {
  return db.selectFrom('organisations').selectAll().where('id', '>', after).orderBy('id').limit(limit).execute();
}

export async function getOrganisation(db: Database, id: string): Promise<OrganisationRow | undefined> {
  return db.selectFrom('organisations').selectAll().where('id', '=', id).executeTakeFirst();
}

/** @throws GatewayError(`conflict`) when there is one */
export async function createOrganisation(db: Database, { id, name, tags }: NewOrganisation): Promise<OrganisationRow> {
  const row = { id, name: name ?? id, tags: JSON.stringify(tags ?? {}) };
  return taking('organisation', id, () =>
    db.insertInto('organisations').values(row).returningAll().executeTakeFirstOrThrow(),
  );
}

/** undefined: there is none. */
export async function updateOrganisation(
  db: Database,
  id: string,
  { name, tags }: Change<NewOrganisation>,
): Promise<OrganisationRow | undefined> {
  return db
    .updateTable('organisations')
    .set({ name, tags: tags && JSON.stringify(tags), ...NEXT_VERSION })
    .where('id', '=', id)
    .returningAll()
    .executeTakeFirst();
}

/** @throws GatewayError(`conflict`) while teams or live keys are of it */
export async function deleteOrganisation(db: Database, id: string): Promise<void> {
  await refuseWhileKeys(db, 'organisation', id);
  await leaving('organisation', 'teams', id, () => db.deleteFrom('organisations').where('id', '=', id).execute());
}

export async function listTeams(
  db: Database,
  { organisation, id }: { readonly organisation?: string | undefined; readonly id?: string | undefined },
  { limit, after = '' }: Page,
): Promise<TeamRow[]> {
  let query = db.selectFrom('teams').selectAll().where('id', '>', after).orderBy('id').limit(limit);
  if (organisation !== undefined) query = query.where('organisation', '=', organisation);
  if (id !== undefined) query = query.where('id', '=', id);
  return query.execute();
}

export async function getTeam(db: Database, id: string): Promise<TeamRow | undefined> {
  return db.selectFrom('teams').selectAll().where('id', '=', id).executeTakeFirst();
}

/** @throws GatewayError(`conflict`) when there is one; (`invalid_request`, param `organisation`) when that is none */
export async function createTeam(db: Database, { id, name, tags, organisation }: NewTeam): Promise<TeamRow> {
  const row = { id, name: name ?? id, tags: JSON.stringify(tags ?? {}), organisation: organisation ?? null };
  return taking('team', id, () =>
    referring('organisation', organisation, () =>
      db.insertInto('teams').values(row).returningAll().executeTakeFirstOrThrow(),
    ),
  );
}

/** undefined: there is none. @throws GatewayError(`invalid_request`, param `organisation`) when that is none */
export async function updateTeam(
  db: Database,
  id: string,
  { name, tags, organisation }: Change<NewTeam>,
): Promise<TeamRow | undefined> {
  return referring('organisation', organisation, () =>
    db
      .updateTable('teams')
      .set({ name, organisation, tags: tags && JSON.stringify(tags), ...NEXT_VERSION })
      .where('id', '=', id)
      .returningAll()
      .executeTakeFirst(),
  );
}

/** @throws GatewayError(`conflict`) while users or live keys are of it */
export async function deleteTeam(db: Database, id: string): Promise<void> {
  await refuseWhileKeys(db, 'team', id);
  await leaving('team', 'users', id, () => db.deleteFrom('teams').where('id', '=', id).execute());
}

export async function listUsers(
  db: Database,
  { team }: { readonly team?: string | undefined },
  { limit, after = '' }: Page,
): Promise<UserRow[]> {
  const query = db.selectFrom('users').selectAll().where('id', '>', after).orderBy('id').limit(limit);
  return (team === undefined ? query : query.where('team', '=', team)).execute();
}

export async function getUser(db: Database, id: string): Promise<UserRow | undefined> {
  return db.selectFrom('users').selectAll().where('id', '=', id).executeTakeFirst();
}

/** @throws GatewayError(`conflict`) when there is one, or one with this subject; (`invalid_request`, param `team`) when that is none */
export async function createUser(db: Database, user: NewUser): Promise<UserRow> {
  const { id, name, tags, team = null, email = null, subject = null } = user;
  const row = { id, name: name ?? id, tags: JSON.stringify(tags ?? {}), team, email, subject };
  return taking('user', id, () =>
    referring('team', team, () => db.insertInto('users').values(row).returningAll().executeTakeFirstOrThrow()),
  );
}

/** undefined: there is none. @throws as `createUser` does */
export async function updateUser(
  db: Database,
  id: string,
  { name, tags, team, email, subject }: Change<NewUser>,
): Promise<UserRow | undefined> {
  return taking('user', id, () =>
    referring('team', team, () =>
      db
        .updateTable('users')
        .set({ name, team, email, subject, tags: tags && JSON.stringify(tags), ...NEXT_VERSION })
        .where('id', '=', id)
        .returningAll()
        .executeTakeFirst(),
    ),
  );
}

/** @throws GatewayError(`conflict`) while live keys stand for it */
export async function deleteUser(db: Database, id: string): Promise<void> {
  await refuseWhileKeys(db, 'user', id);
  await db.deleteFrom('users').where('id', '=', id).execute();
}

const NEXT_VERSION = { version: sql<bigint>`version + 1`, updated_at: sql<Date>`now()` };

const KEY_COLUMNS = { organisation: 'organisation', team: 'team', user: 'user_id' } as const;

async function refuseWhileKeys(db: Database, kind: keyof typeof KEY_COLUMNS, id: string): Promise<void> {
  const key = await db
    .selectFrom('api_keys')
    .select('name')
    .where(KEY_COLUMNS[kind], '=', id)
    .where('revoked_at', 'is', null)
    .limit(1)
    .executeTakeFirst();
  if (key === undefined) return;
  throw new GatewayError('conflict', `The ${kind} "${id}" has live keys ("${key.name}"): revoke or change them first.`);
}

async function taking<T>(kind: string, id: string, work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (cause) {
    if (!isViolation(cause, UNIQUE_VIOLATION)) throw cause;
    const isOfSubject = cause.constraint?.includes('subject') === true;
    const [said, param] = isOfSubject ? ['with this subject', 'subject'] : [`"${id}"`, 'id'];
    throw new GatewayError('conflict', `There is a ${kind} ${said} already.`, { param, cause });
  }
}

async function referring<T>(
  field: 'organisation' | 'team',
  id: string | null | undefined,
  work: () => Promise<T>,
): Promise<T> {
  try {
    return await work();
  } catch (cause) {
    if (!isViolation(cause, FOREIGN_KEY_VIOLATION)) throw cause;
    throw new GatewayError('invalid_request', `There is no ${field} "${id ?? ''}".`, { param: field, cause });
  }
}

async function leaving(kind: string, others: string, id: string, work: () => Promise<unknown>): Promise<void> {
  try {
    await work();
  } catch (cause) {
    if (!isViolation(cause, FOREIGN_KEY_VIOLATION)) throw cause;
    throw new GatewayError('conflict', `The ${kind} "${id}" still has ${others}: delete or change them first.`, {
      cause,
    });
  }
}

function isViolation(failure: unknown, code: string): failure is DatabaseError {
  return failure instanceof DatabaseError && failure.code === code;
}
