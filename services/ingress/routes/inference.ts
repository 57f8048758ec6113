import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import type { Clock } from '../../../shared/clock.ts';
import { parseOpenAiRequest } from '../../../shared/dialects/openai.ts';
import { GatewayError } from '../../../shared/errors.ts';
import type { Endpoint, Principal } from '../../../shared/messages/envelope.ts';
import { admit } from '../admit.ts';
import type { Authenticator } from '../authenticate.ts';
import type { Exchanges } from '../exchanges.ts';

declare module 'fastify' {
  interface FastifyRequest {
    principal: Principal | null;
  }
}

export interface InferenceDeps {
  readonly authenticator: Authenticator;
  readonly exchanges: Exchanges;
  readonly clock: Clock;
  readonly requestTimeoutMs: number;
}

const PATHS: Readonly<Record<string, Endpoint>> = { '/v1/chat/completions': 'chat', '/v1/embeddings': 'embeddings' };

/** The routes that ask a model: authenticate → parse → admit → hand over to an exchange, which owns the answer. */
export function inferenceRoutes(app: FastifyInstance, deps: InferenceDeps): void {
  app.decorateRequest('principal', null);
  for (const [path, endpoint] of Object.entries(PATHS)) {
    app.post(path, { onRequest: [refuseWhenFull(deps), authenticate(deps)] }, (request, reply) => {
      exchange(deps, endpoint, request, reply);
    });
  }
}

/** Runs before the body is read: nobody's bytes are taken in before it is known whose they are. */
export function authenticate({ authenticator }: Pick<InferenceDeps, 'authenticator'>) {
  return (request: FastifyRequest, _reply: FastifyReply, done: (error?: Error) => void): void => {
    const found = attempt(() => authenticator.authenticate(request.headers));
    if (found instanceof Error) return done(found);
    if (!(found instanceof Promise)) {
      request.principal = found;
      return done();
    }
    found.then(
      (principal) => {
        request.principal = principal;
        done();
      },
      (failure: unknown) => done(GatewayError.from(failure)),
    );
  };
}

function refuseWhenFull({ exchanges }: Pick<InferenceDeps, 'exchanges'>) {
  return (_request: FastifyRequest, _reply: FastifyReply, done: (error?: Error) => void): void => {
    done(exchanges.refusal());
  };
}

function exchange(
  { clock, exchanges, requestTimeoutMs }: InferenceDeps,
  endpoint: Endpoint,
  request: FastifyRequest,
  reply: FastifyReply,
): void {
  const { principal, headers } = request;
  if (principal === null) throw new GatewayError('internal', 'A request without a principal.');
  const body = Buffer.isBuffer(request.body) ? request.body : Buffer.alloc(0);
  const context = {
    principal,
    traceparent: header(headers['traceparent']),
    timeout: header(headers['x-sluice-timeout']),
    session: header(headers['x-sluice-session']),
  };
  const admitted = admit(parseOpenAiRequest(endpoint, body), context, clock, requestTimeoutMs);
  reply.hijack();
  exchanges.begin(admitted, reply.raw);
}

function header(value: string | string[] | undefined): string | undefined {
  return typeof value === 'string' ? value : undefined;
}

function attempt<T>(run: () => T): T | Error {
  try {
    return run();
  } catch (failure) {
    return GatewayError.from(failure);
  }
}
