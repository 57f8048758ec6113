import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import { suggest } from '../../../shared/config/errors.ts';
import { parseOpenAiRequest } from '../../../shared/dialects/openai.ts';
import { GatewayError } from '../../../shared/errors.ts';
import type { Endpoint } from '../../../shared/messages/envelope.ts';
import type { Admission, Terms } from '../admission.ts';
import type { AdmitDeps } from '../admit.ts';
import { admit } from '../admit.ts';
import type { Authenticator } from '../authenticate.ts';
import type { Caller } from '../caller.ts';
import type { Exchanges } from '../exchanges.ts';

declare module 'fastify' {
  interface FastifyRequest {
    caller: Caller | null;
  }
}

export interface InferenceDeps extends AdmitDeps {
  readonly admission: Pick<Admission, 'admit'>;
  readonly authenticator: Authenticator;
  readonly exchanges: Exchanges;
}

/** Before a path of the API: the door of a named router. */
export const ROUTER_DOOR = '/router/:router';

const PATHS: Readonly<Record<string, Endpoint>> = { '/v1/chat/completions': 'chat', '/v1/embeddings': 'embeddings' };

/** The routes that ask a model: authenticate → parse → admit → hand over to an exchange, which owns the answer. */
export function inferenceRoutes(app: FastifyInstance, deps: InferenceDeps): void {
  app.decorateRequest('caller', null);
  for (const [path, endpoint] of Object.entries(PATHS)) {
    const onRequest = [refuseWhenFull(deps), authenticate(deps)];
    app.post(path, { onRequest }, (request, reply) => exchange(deps, endpoint, request, reply));
    const throughRouter = [...onRequest, refuseUnknownRouter(deps)];
    app.post(`${ROUTER_DOOR}${path}`, { onRequest: throughRouter }, (request, reply) =>
      exchange(deps, endpoint, request, reply, routerOf(request)),
    );
  }
}

/** Runs before the body is read: nobody's bytes are taken in before it is known whose they are. */
export function authenticate({ authenticator }: Pick<InferenceDeps, 'authenticator'>) {
  return (request: FastifyRequest, _reply: FastifyReply, done: (error?: Error) => void): void => {
    const found = attempt(() => authenticator.authenticate(request.headers, request.socket.remoteAddress));
    if (found instanceof Error) return done(found);
    if (!(found instanceof Promise)) {
      request.caller = found;
      return done();
    }
    found.then(
      (caller) => {
        request.caller = caller;
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

/** For the paths behind `ROUTER_DOOR`, once it is known who asks. */
export function refuseUnknownRouter({ catalog }: Pick<InferenceDeps, 'catalog'>) {
  return (request: FastifyRequest, _reply: FastifyReply, done: (error?: Error) => void): void => {
    const name = routerOf(request);
    if (catalog.hasRouter(name)) return done();
    const hint = suggest(name, catalog.routers());
    const said = `There is no router \`${name.slice(0, 200)}\`${hint === undefined ? '' : `; ${hint}`}`;
    done(new GatewayError('router_not_found', said.endsWith('?') ? said : `${said}.`));
  };
}

export function routerOf({ params }: FastifyRequest): string {
  return (params as { readonly router: string }).router;
}

function exchange(
  deps: InferenceDeps,
  endpoint: Endpoint,
  request: FastifyRequest,
  reply: FastifyReply,
  via?: string,
): void | Promise<void> {
  const { caller, headers } = request;
  if (caller === null) throw new GatewayError('internal', 'A request without a caller.');
  const body = Buffer.isBuffer(request.body) ? request.body : Buffer.alloc(0);
  const admitted = admit(parseOpenAiRequest(endpoint, body), { caller, headers, via }, deps);
  const isGone = (): boolean => reply.raw.destroyed;
  const terms = deps.admission.admit(admitted, isGone);
  if (!(terms instanceof Promise)) return void begin(deps, terms, reply);
  const leave = deps.exchanges.wait(body.length);
  return terms.then((later) => begin(deps, later, reply)).finally(leave);
}

function begin({ exchanges }: InferenceDeps, terms: Terms, reply: FastifyReply): void {
  reply.hijack();
  exchanges.begin(terms, reply.raw);
}

function attempt<T>(run: () => T): T | Error {
  try {
    return run();
  } catch (failure) {
    return GatewayError.from(failure);
  }
}
