import { matchOperation } from '../../../shared/admin/match.ts';
import { toOpenAiError } from '../../../shared/dialects/openai-error.ts';
import { GatewayError } from '../../../shared/errors.ts';
import type { Log } from '../../../shared/log.ts';
import type { AdminAnswer, AdminQuestion } from '../../../shared/messages/admin.ts';
import { isAway, isOutOfTime } from '../database/database.ts';
import type { KeySecret } from '../principals/key-secret.ts';
import type { Database } from '../database/schema.ts';
import { fieldErrorsOf, InvalidFields } from './invalid-fields.ts';
import type { Performed } from './perform.ts';
import { perform } from './perform.ts';
import { parseBody, parseQuery } from './read-input.ts';

export interface AnswerQuestionDeps {
  readonly db: Database;
  readonly secret: KeySecret;
  readonly log: Pick<Log, 'error' | 'info'>;
  readonly announce: (announced: NonNullable<Performed['announced']>) => void;
}

const RETRY_AFTER_MS = 1_000;
const MAX_SHOWN_CHARS = 200;
/** As long as anybody's; what is longer is no key but a mistake. */
const IDEMPOTENCY_KEY = /^[\x20-\x7e]{1,255}$/;

/** One HTTP request of the admin API → its answer. Never throws: a failure is an answer too. */
export async function answerQuestion(question: AdminQuestion, deps: AnswerQuestionDeps): Promise<AdminAnswer> {
  try {
    return await tryAnswer(question, deps);
  } catch (failure) {
    const error = gatewayErrorOf(failure);
    if (error.code === 'internal')
      deps.log.error({ err: failure, requestId: question.requestId }, 'admin request failed');
    return answerFailure(error, question);
  }
}

async function tryAnswer(
  question: AdminQuestion,
  { db, secret, log, announce }: AnswerQuestionDeps,
): Promise<AdminAnswer> {
  const { actor, requestId, ifMatch, ifNoneMatch, idempotencyKey } = question;
  const match = matchOperation(question.method, question.path);
  const asked = `${question.method} /admin/v1${question.path.slice(0, MAX_SHOWN_CHARS)}`;
  if (match.kind === 'unknown') throw new GatewayError('unknown_url', `Unknown request URL: ${asked}.`);
  if (match.kind === 'method_not_allowed')
    throw new GatewayError('method_not_allowed', `Not allowed: ${asked}. Allowed: ${match.allowed.join(', ')}.`);
  if (idempotencyKey !== undefined && !IDEMPOTENCY_KEY.test(idempotencyKey))
    throw new InvalidFields([
      { param: 'idempotency-key', message: 'It must be 1 to 255 printable characters (ASCII).' },
    ]);
  const raw = { params: match.params, query: parseQuery(question.query), body: parseBody(question.body) };
  const performing = {
    db,
    openSecret: () => Promise.resolve(secret),
    actor,
    requestId,
    ifMatch,
    ifNoneMatch,
    idempotencyKey,
    now: new Date(),
  };
  const { status, headers, body, next, announced } = await perform(match.id, raw, performing);
  if (announced !== undefined) {
    announce(announced);
    log.info({ operation: match.id, keyId: actor.keyId, requestId }, 'admin change');
  }
  return {
    v: 1,
    status,
    headers: { 'content-type': 'application/json', ...headers },
    body: body === null ? '' : typeof body === 'string' ? body : JSON.stringify(body),
    ...(next !== undefined && { next }),
  };
}

function gatewayErrorOf(failure: unknown): GatewayError {
  if (isAway(failure)) {
    const details = { retryAfterMs: RETRY_AFTER_MS, cause: failure };
    return new GatewayError(
      'ledger_unavailable',
      'The ledger’s database does not answer. Nothing was changed.',
      details,
    );
  }
  if (isOutOfTime(failure)) {
    const details = { retryAfterMs: RETRY_AFTER_MS, cause: failure };
    return new GatewayError('overloaded', 'The database took too long for this. Nothing was changed.', details);
  }
  return GatewayError.from(failure);
}

/** As every error of the gateway, with all the faults of the input beside the first. */
export function answerFailure(failure: GatewayError, { method, path }: AdminQuestion): AdminAnswer {
  const { status, headers, body } = toOpenAiError(failure);
  const errors = fieldErrorsOf(failure);
  const match = failure.code === 'method_not_allowed' ? matchOperation(method, path) : undefined;
  const { error } = JSON.parse(body) as { error: object };
  return {
    v: 1,
    status,
    headers: {
      'content-type': 'application/json',
      ...headers,
      ...(match?.kind === 'method_not_allowed' && { allow: match.allowed.join(', ') }),
    },
    body: JSON.stringify({ error: { ...error, ...(errors !== undefined && { errors }) } }),
  };
}
