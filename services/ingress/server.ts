import { STATUS_CODES } from 'node:http';
import type { Socket } from 'node:net';
import Fastify, { LogController } from 'fastify';
import type { FastifyError, FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import type { Registry } from 'prom-client';
import { toOpenAiError } from '../../shared/dialects/openai-error.ts';
import { GatewayError } from '../../shared/errors.ts';
import { makeRequestId } from '../../shared/ids.ts';
import type { Log } from '../../shared/log.ts';
import type { AdminHealthDeps } from './routes/admin-health.ts';
import { adminHealthRoutes } from './routes/admin-health.ts';
import type { AdminApiDeps } from './routes/admin-api.ts';
import { ADMIN_API, adminApiRoutes } from './routes/admin-api.ts';
import { healthRoutes } from './routes/health.ts';
import type { InferenceDeps } from './routes/inference.ts';
import { inferenceRoutes, ROUTER_DOOR } from './routes/inference.ts';
import { modelRoutes } from './routes/models.ts';

export interface ServerDeps extends InferenceDeps, AdminHealthDeps, AdminApiDeps {
  readonly log: Log;
  readonly registry: Registry;
  readonly bodyLimitBytes: number;
}

/** A request's head and body must have come within these: a slow sender holds a connection, never more. */
const HEADERS_TIMEOUT_MS = 30_000;
const REQUEST_TIMEOUT_MS = 120_000;
/** Longer than the 60 s after which load balancers in front drop an idle connection, so that they are the ones to close. */
const KEEP_ALIVE_TIMEOUT_MS = 75_000;

/** The HTTP side of the ingress: routes, and one shape for every error. Listens to nothing yet. */
export function buildServer(deps: ServerDeps): FastifyInstance {
  const app = Fastify({
    // The exchange writes one line for each request; fastify's own two would cost 7 µs.
    logController: new LogController({ disableRequestLogging: true }),
    bodyLimit: deps.bodyLimitBytes,
    requestTimeout: REQUEST_TIMEOUT_MS,
    keepAliveTimeout: KEEP_ALIVE_TIMEOUT_MS,
    http: { headersTimeout: HEADERS_TIMEOUT_MS },
    routerOptions: { ignoreTrailingSlash: true, maxParamLength: 512 },
    clientErrorHandler: onClientError,
    frameworkErrors: (error, _request, reply) => void sendError(deps.log, error, reply as unknown as FastifyReply),
    forceCloseConnections: false,
    return503OnClosing: false,
  });
  app.removeAllContentTypeParsers();
  const asBytes = { parseAs: 'buffer' as const };
  app.addContentTypeParser('application/json', asBytes, (_request, body, done) => done(null, body));
  app.setErrorHandler((error, _request, reply) => sendError(deps.log, error, reply));
  app.setNotFoundHandler((request, reply) => notFound(app, request, reply));
  inferenceRoutes(app, deps);
  modelRoutes(app, deps);
  healthRoutes(app, deps);
  adminHealthRoutes(app, deps);
  adminApiRoutes(app, deps);
  return app;
}

const METHODS = ['GET', 'POST', 'PUT', 'PATCH', 'DELETE', 'HEAD', 'OPTIONS'];

function notFound(app: FastifyInstance, request: FastifyRequest, reply: FastifyReply): FastifyReply {
  const path = request.url.split('?', 1)[0] ?? request.url;
  const url = patternOf(path);
  const allowed = METHODS.filter((method) => app.findRoute({ url, method }) !== null);
  const said = `${request.method} ${path.slice(0, 200)}`;
  if (allowed.length === 0)
    return reply.headers({}).send(new GatewayError('unknown_url', `Unknown request URL: ${said}.`));
  return reply
    .header('allow', allowed.join(', '))
    .send(new GatewayError('method_not_allowed', `Not allowed: ${said}. Allowed: ${allowed.join(', ')}.`));
}

/** As the routes were registered: these are the parts of a path that vary. */
function patternOf(path: string): string {
  if (path.startsWith(`${ADMIN_API}/`)) return `${ADMIN_API}/*`;
  return path.replace(/^\/router\/[^/]+/, ROUTER_DOOR).replace(/(\/v1\/models\/|\/admin\/deployments\/).+/, '$1*');
}

/** Everything that was thrown on the way to an exchange: ours as it is, fastify's by its code, the unknown as `internal`. */
function sendError(log: Log, thrown: unknown, reply: FastifyReply): FastifyReply {
  const error = thrown instanceof GatewayError ? thrown : fromFastify(thrown as FastifyError);
  if (error.code === 'internal') log.error({ err: thrown }, 'internal error');
  const answer = toOpenAiError(error);
  if (leavesBodyUnread(reply.request)) {
    void reply.header('connection', 'close');
    lingerWhenClosed(reply.raw.socket);
  }
  return reply
    .code(answer.status)
    .headers({ 'x-request-id': makeRequestId(), ...answer.headers, 'content-type': 'application/json' })
    .send(answer.body);
}

/** Refused bodies up to here are read and forgotten, so that their connection can go on; for more of it, it ends. */
const MAX_FORGOTTEN_BYTES = 64 * 1024;
/** How long a client that is still sending has to read its refusal before the connection is cut. */
const LINGER_MS = 1_000;

function leavesBodyUnread({ raw, headers }: FastifyRequest): boolean {
  if (raw.complete) return false;
  return headers['transfer-encoding'] !== undefined || Number(headers['content-length'] ?? 0) > MAX_FORGOTTEN_BYTES;
}

/**
 * A socket that is closed with unread bytes in it is reset, and the reset overtakes the answer: the client would see a
 * broken connection, and try again, instead of its refusal. So only our side is closed, and what still comes is thrown
 * away for a while (nginx: "lingering_close").
 */
function lingerWhenClosed(socket: Socket | null): void {
  if (socket === null) return;
  socket.destroySoon = () => {
    socket.end();
    const limit = setTimeout(() => socket.destroy(), LINGER_MS);
    socket.once('end', () => socket.destroy());
    socket.once('close', () => clearTimeout(limit));
  };
}

function fromFastify(error: FastifyError): GatewayError {
  switch (error.code) {
    case 'FST_ERR_CTP_BODY_TOO_LARGE':
      return new GatewayError('request_too_large', 'The request’s body is larger than this gateway takes.', {
        cause: error,
      });
    case 'FST_ERR_CTP_INVALID_MEDIA_TYPE':
    case 'FST_ERR_CTP_EMPTY_TYPE':
      return new GatewayError(
        'unsupported_media_type',
        'Send the request as JSON, with `content-type: application/json`.',
        { cause: error },
      );
    case 'FST_ERR_CTP_INVALID_CONTENT_LENGTH':
    case 'FST_ERR_CTP_INVALID_JSON_BODY':
    case 'FST_ERR_CTP_EMPTY_JSON_BODY':
      return new GatewayError('invalid_json', 'The request’s body does not match its headers.', { cause: error });
    case 'FST_ERR_BAD_URL':
      return new GatewayError('invalid_request', 'The request’s URL is malformed.', { cause: error });
    default:
      return GatewayError.from(error);
  }
}

/** Node keeps the answer under way there; its own handler looks at the same place. */
type AnsweringSocket = Socket & { readonly _httpMessage?: { readonly headersSent: boolean } | null };

/** Bytes that are no HTTP, or too slow or too large a head: fastify never sees a request, so the answer is written here. */
function onClientError(error: Error & { code?: string }, socket: AnsweringSocket): void {
  // Behind an answer that has begun, these bytes would pass for a part of it.
  const isAnswering = socket._httpMessage?.headersSent === true;
  if (!socket.writable || isAnswering || error.code === 'ECONNRESET') return void socket.destroy();
  const failure =
    error.code === 'ERR_HTTP_REQUEST_TIMEOUT'
      ? new GatewayError('request_timeout', 'The request did not come in time.')
      : error.code === 'HPE_HEADER_OVERFLOW'
        ? new GatewayError('headers_too_large', 'The request’s headers are too large.')
        : new GatewayError('invalid_request', 'This is not a valid HTTP request.');
  const { status, body, headers } = toOpenAiError(failure);
  const all = {
    'x-request-id': makeRequestId(),
    ...headers,
    'content-type': 'application/json',
    'content-length': String(Buffer.byteLength(body)),
    connection: 'close',
  };
  const lines = Object.entries(all).map(([name, value]) => `${name}: ${value}\r\n`);
  socket.end(`HTTP/1.1 ${status} ${STATUS_CODES[status] ?? ''}\r\n${lines.join('')}\r\n${body}`);
}
