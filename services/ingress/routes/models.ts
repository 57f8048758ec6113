import type { FastifyInstance, FastifyRequest } from 'fastify';
import type { Catalog, ListedModel } from '../../../shared/catalog.ts';
import { GatewayError } from '../../../shared/errors.ts';
import type { Caller } from '../caller.ts';
import { isAllowedName } from '../core/allowed-names.ts';
import type { InferenceDeps } from './inference.ts';
import { authenticate, refuseUnknownRouter, ROUTER_DOOR, routerOf } from './inference.ts';

/** When a model was made is the provider's to know; the schema wants a number. */
const CREATED_UNKNOWN = 0;

export type ModelDeps = Pick<InferenceDeps, 'authenticator' | 'catalog'>;

/** `GET /v1/models` and `/v1/models/{id}`: every name that a request with this key may give as its model, there or through a router. */
export function modelRoutes(app: FastifyInstance, deps: ModelDeps): void {
  const { catalog } = deps;
  const onRequest = authenticate(deps);
  const throughRouter = [onRequest, refuseUnknownRouter(deps)];
  const lists = new Map<string | undefined, string>(
    [undefined, ...catalog.routers()].map((router) => [router, listOf(catalog, router)]),
  );
  const list = ({ caller }: FastifyRequest, router?: string): string | undefined =>
    isRestricted(caller) ? listOf(catalog, router, caller) : lists.get(router);
  app.get('/v1/models', { onRequest }, (request, reply) => reply.type('application/json').send(list(request)));
  app.get(`${ROUTER_DOOR}/v1/models`, { onRequest: throughRouter }, (request, reply) =>
    reply.type('application/json').send(list(request, routerOf(request))),
  );
  // Ids hold slashes: `openai/gpt-4o-mini`.
  app.get<ById>('/v1/models/*', { onRequest }, (request, reply) =>
    reply.type('application/json').send(find(catalog, request)),
  );
  app.get<ById>(`${ROUTER_DOOR}/v1/models/*`, { onRequest: throughRouter }, (request, reply) =>
    reply.type('application/json').send(find(catalog, request, routerOf(request))),
  );
}

interface ById {
  Params: { '*': string };
}

function isRestricted(caller: Caller | null): boolean {
  return caller?.policy.models !== undefined || caller?.policy.routes !== undefined;
}

/** @param caller undefined: of everybody */
function listOf(catalog: Catalog, router?: string, caller: Caller | null = null): string {
  const policy = caller?.policy ?? {};
  const models = catalog.models(router).filter(({ id }) => isAllowedName(policy, id, catalog, router));
  return JSON.stringify({ object: 'list', data: models.map(describe) });
}

function find(catalog: Catalog, { params, caller }: FastifyRequest<ById>, router?: string): string {
  const id = params['*'];
  const resolution = catalog.resolve(id, { router });
  if (resolution === undefined || !isAllowedName(caller?.policy ?? {}, id, catalog, router))
    throw new GatewayError(
      'model_not_found',
      `The model \`${id.slice(0, 200)}\` does not exist or you do not have access to it.`,
      { param: 'model' },
    );
  const ownedBy = resolution.route === null ? (resolution.targets[0]?.deployment.provider ?? 'sluice') : 'sluice';
  return JSON.stringify(describe({ id, ownedBy }));
}

function describe({ id, ownedBy }: ListedModel): object {
  return { id, object: 'model', created: CREATED_UNKNOWN, owned_by: ownedBy };
}
