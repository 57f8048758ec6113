import { Readable } from 'node:stream';
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import type { Bus } from '../../../shared/bus.ts';
import { GatewayError } from '../../../shared/errors.ts';
import { makeRequestId } from '../../../shared/ids.ts';
import type { AdminActor, AdminQuestion } from '../../../shared/messages/admin.ts';
import { AdminAnswer } from '../../../shared/messages/admin.ts';
import { ledgerSubject } from '../../../shared/subjects.ts';
import type { InferenceDeps } from './inference.ts';
import { authenticate } from './inference.ts';

export interface AdminApiDeps extends Pick<InferenceDeps, 'authenticator'> {
  readonly bus: Pick<Bus, 'request' | 'maxPayload'>;
}

export const ADMIN_API = '/admin/v1';
const OPENAPI = '/admin/openapi.json';

const METHODS = ['GET', 'POST', 'PUT', 'PATCH', 'DELETE'];
/** What is told of keys and rules is small; a body and what goes with it must fit one message of NATS. */
const MAX_BODY_BYTES = 256 * 1024;
/** A ledger gives up earlier: its statements may take 5 s. */
const ANSWER_WITHIN_MS = 10_000;

/** `/admin/v1/*`, forwarded to a ledger, which knows the operations; and their description, for whoever wants it. */
export function adminApiRoutes(app: FastifyInstance, deps: AdminApiDeps): void {
  app.route({
    method: METHODS,
    url: `${ADMIN_API}/*`,
    exposeHeadRoute: false,
    bodyLimit: MAX_BODY_BYTES,
    onRequest: [authenticate(deps), refuseCallers(deps)],
    handler: (request, reply) => forward(deps, request, reply),
  });
  let document: string | undefined;
  app.get(OPENAPI, async (_request, reply) => {
    if (document === undefined) {
      // Loaded when it is wanted: an ingress needs these schemas for nothing else.
      const { openApiDocument } = await import('../../../shared/admin/openapi.ts');
      document = JSON.stringify(openApiDocument());
    }
    return reply.type('application/json').send(document);
  });
}

/** The ledger looks at the role too; whoever has none costs it nothing. */
function refuseCallers(deps: AdminApiDeps) {
  return (request: FastifyRequest, _reply: FastifyReply, done: (error?: Error) => void): void => {
    if (actorOf(deps, request).role !== null) return done();
    done(new GatewayError('forbidden', 'The admin API is for keys with a role: this one may use models, and no more.'));
  };
}

async function forward(deps: AdminApiDeps, request: FastifyRequest, reply: FastifyReply): Promise<FastifyReply> {
  const { bus } = deps;
  const question = questionOf(deps, request);
  const first = await ask(bus, question);
  const { status, headers, body, next } = first;
  // Answers may hold a token.
  reply.code(status).headers({ 'x-request-id': question.requestId, 'cache-control': 'no-store', ...headers });
  if (next === undefined) return reply.send(body);
  return reply.send(Readable.from(parts(bus, question, first)));
}

/** An export, part by part, as fast as its reader takes it. A part that does not come breaks the answer off. */
async function* parts(bus: AdminApiDeps['bus'], question: AdminQuestion, first: AdminAnswer): AsyncGenerator<string> {
  for (let part = first; ;) {
    yield part.body;
    if (part.next === undefined) return;
    const query = new URLSearchParams(question.query);
    query.set('after', part.next);
    part = await ask(bus, { ...question, query: query.toString() });
    if (part.status !== 200) throw new Error(`an export ended early, with status ${part.status}`);
  }
}

/** @throws GatewayError(`ledger_unavailable`), after which a change may have been made or not; (`request_too_large`) */
async function ask(bus: AdminApiDeps['bus'], question: AdminQuestion): Promise<AdminAnswer> {
  if (Buffer.byteLength(JSON.stringify(question)) > bus.maxPayload)
    throw new GatewayError('request_too_large', 'The request’s body is larger than the admin API takes.');
  try {
    return await bus.request(ledgerSubject('admin'), question, AdminAnswer, ANSWER_WITHIN_MS);
  } catch (cause) {
    const message = 'No ledger answers. Whether a change was made is not known: ask again with its Idempotency-Key.';
    throw new GatewayError('ledger_unavailable', message, { retryAfterMs: 1_000, cause });
  }
}

function questionOf(deps: AdminApiDeps, request: FastifyRequest): AdminQuestion {
  const { headers, body } = request;
  const [path = '', query = ''] = splitAtFirst(request.raw.url ?? '', '?');
  return {
    v: 1,
    requestId: makeRequestId(),
    method: request.method,
    path: path.slice(ADMIN_API.length),
    query,
    ...(headers['if-match'] !== undefined && { ifMatch: headers['if-match'] }),
    ...(headers['if-none-match'] !== undefined && { ifNoneMatch: headers['if-none-match'] }),
    ...(typeof headers['idempotency-key'] === 'string' && { idempotencyKey: headers['idempotency-key'] }),
    ...(Buffer.isBuffer(body) && body.length > 0 && { body: body.toString('utf8') }),
    actor: actorOf(deps, request),
  };
}

function splitAtFirst(text: string, separator: string): [string, string] {
  const at = text.indexOf(separator);
  return at < 0 ? [text, ''] : [text.slice(0, at), text.slice(at + 1)];
}

function actorOf({ authenticator }: AdminApiDeps, { caller, headers, socket }: FastifyRequest): AdminActor {
  if (caller === null) throw new GatewayError('internal', 'A request without a caller.');
  const { principal, policy } = caller;
  const { keyId, user, team } = principal;
  return {
    keyId,
    user: user ?? null,
    role: policy.role ?? null,
    team,
    origin: authenticator.addressOf(headers, socket.remoteAddress),
  };
}
