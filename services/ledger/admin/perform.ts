import { hash } from 'node:crypto';
import type { Transaction } from 'kysely';
import { sql } from 'kysely';
import { DatabaseError } from 'pg';
import type { OperationId } from '../../../shared/admin/operations.ts';
import { operationOf } from '../../../shared/admin/operations.ts';
import { GatewayError } from '../../../shared/errors.ts';
import type { AdminActor } from '../../../shared/messages/admin.ts';
import { canonicalJson } from '../core/audit-chain.ts';
import { etagOf, isKnown, matches } from '../core/etags.ts';
import { actorName, reachOf, roleOf } from '../core/reach.ts';
import type { Repeatable } from '../idempotency.ts';
import { findAnswer, keepAnswer } from '../idempotency.ts';
import type { KeySecret } from '../principals/key-secret.ts';
import type { Change } from '../rules/revision.ts';
import type { Database, Tables } from '../database/schema.ts';
import { concludeChange } from './audited-revision.ts';
import type { Answered, Call, Changed } from './handler.ts';
import { HANDLERS } from './handlers.ts';
import type { RawInput } from './read-input.ts';
import { readInput } from './read-input.ts';

/** One change of keys and rules at a time: what is read for one is still so when it writes. */
const CHANGES_LOCK = 7_583_012;
/** A change that met another's rows in the other order is tried again; it has done nothing. */
const MAX_TRIES = 3;
const DEADLOCK = '40P01';

export interface Performing {
  readonly db: Database;
  /** The secret that the keys of this database are kept under; asked for where a token is made. */
  readonly openSecret: () => Promise<KeySecret>;
  readonly actor: AdminActor;
  readonly now: Date;
  readonly requestId?: string | undefined;
  readonly ifMatch?: string | undefined;
  readonly ifNoneMatch?: string | undefined;
  readonly idempotencyKey?: string | undefined;
}

export interface Performed {
  readonly status: number;
  readonly headers: Readonly<Record<string, string>>;
  /** JSON or, with a content type of its own, a text. */
  readonly body: object | string | null;
  readonly next?: string | undefined;
  /** To be announced to the ingresses; absent: nothing changed. */
  readonly announced?: Change & { readonly revision: bigint };
}

/**
 * One operation of the admin API: may the actor, is the input right, then the change with its audit record, its revision
 * and the answer that an `Idempotency-Key` keeps, in one transaction. The HTTP API and the command line both come here.
 * @throws GatewayError nothing has happened
 */
export async function perform(id: OperationId, raw: RawInput, performing: Performing): Promise<Performed> {
  const operation = operationOf(id);
  const call = callOf(id, raw, performing);
  if (!operation.isChange) return read(id, call, performing);
  for (let tries = 1; ; tries++) {
    try {
      return await performing.db.transaction().execute((transaction) => change(transaction, id, call, raw, performing));
    } catch (failure) {
      const isDeadlock = failure instanceof DatabaseError && failure.code === DEADLOCK;
      if (!isDeadlock || tries === MAX_TRIES) throw failure;
    }
  }
}

function callOf(id: OperationId, raw: RawInput, { actor, now, openSecret, ifMatch }: Performing): Call {
  const operation = operationOf(id);
  const role = roleOf(actor);
  const reach = reachOf(actor);
  if (role === null || reach === undefined || !operation.roles.includes(role))
    throw new GatewayError('forbidden', `This is for the roles ${operation.roles.join(', ')}: ${said(actor)}.`);
  const { params, query, body } = readInput(operation, raw);
  const expects = (version: bigint): void => {
    if (matches(ifMatch, version)) return;
    throw new GatewayError('precondition_failed', 'It has changed since it was read: read it anew.', {
      param: 'if-match',
    });
  };
  // As the operation's schemas have just made them.
  return { params, query, body: body as undefined, actor, role, reach, now, openSecret, expects };
}

function said({ role, team }: AdminActor): string {
  if (role === null) return 'this key has none';
  return role === 'team_admin' && team === null ? 'this key is of no team' : `this key is a ${role}’s`;
}

async function read(id: OperationId, call: Call, { db, ifNoneMatch }: Performing): Promise<Performed> {
  // The table has a handler for each operation's own types, of which nothing is known here.
  const handler = HANDLERS[id] as (db: Database, call: Call) => Promise<Answered>;
  const answered = await handler(db, call);
  if ('text' in answered) {
    const { text, contentType, next } = answered;
    return { status: 200, headers: { 'content-type': contentType }, body: text, next };
  }
  const headers = headersOf(answered.version);
  if (answered.version !== undefined && isKnown(ifNoneMatch, answered.version))
    return { status: 304, headers, body: null };
  return { status: 200, headers, body: answered.body as object };
}

async function change(
  transaction: Transaction<Tables>,
  id: OperationId,
  call: Call,
  raw: RawInput,
  { actor, now, requestId, idempotencyKey }: Performing,
): Promise<Performed> {
  const { method, status, secrets = [] } = operationOf(id);
  await sql`select pg_advisory_xact_lock(${CHANGES_LOCK})`.execute(transaction);
  const repeatable: Repeatable | undefined =
    idempotencyKey === undefined || method !== 'POST'
      ? undefined
      : { actor: actorName(actor), key: idempotencyKey, hash: hash('sha256', canonicalJson({ id, ...raw }), 'hex') };
  const kept = repeatable && (await findAnswer(transaction, repeatable));
  if (kept !== undefined) return { ...kept, headers: { ...kept.headers, 'idempotent-replayed': 'true' } };

  const handler = HANDLERS[id] as (transaction: Transaction<Tables>, call: Call) => Promise<Changed<object>>;
  const { body, version, entity, entityId, before, after, about } = await handler(transaction, call);
  const headers = headersOf(version);
  const shown = without(body, secrets);
  if (repeatable !== undefined) await keepAnswer(transaction, repeatable, { status, headers, body: shown });
  const revision = await concludeChange(
    transaction,
    { actor, now, requestId },
    { action: id, entity, entityId, before, after: after && without(after, secrets) },
  );
  return { status, headers, body, announced: { revision, ...about } };
}

function headersOf(version: bigint | undefined): Record<string, string> {
  return version === undefined ? {} : { etag: etagOf(version) };
}

function without(body: object, secrets: readonly string[]): Record<string, unknown> {
  return Object.fromEntries(Object.entries(body).filter(([name]) => !secrets.includes(name)));
}
