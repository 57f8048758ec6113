import type { FastifyInstance } from 'fastify';
import type { Catalog, ListedModel } from '../../../shared/catalog.ts';
import { GatewayError } from '../../../shared/errors.ts';
import type { InferenceDeps } from './inference.ts';
import { authenticate, refuseUnknownRouter, ROUTER_DOOR, routerOf } from './inference.ts';

/** When a model was made is the provider's to know; the schema wants a number. */
const CREATED_UNKNOWN = 0;

export type ModelDeps = Pick<InferenceDeps, 'authenticator' | 'catalog'>;

/** `GET /v1/models` and `/v1/models/{id}`: every name that a request may give as its model, there or through a router. */
export function modelRoutes(app: FastifyInstance, deps: ModelDeps): void {
  const { catalog } = deps;
  const onRequest = authenticate(deps);
  const throughRouter = [onRequest, refuseUnknownRouter(deps)];
  const list = listOf(catalog);
  const lists = new Map([...catalog.routers()].map((router) => [router, listOf(catalog, router)]));
  app.get('/v1/models', { onRequest }, (_request, reply) => reply.type('application/json').send(list));
  app.get(`${ROUTER_DOOR}/v1/models`, { onRequest: throughRouter }, (request, reply) =>
    reply.type('application/json').send(lists.get(routerOf(request))),
  );
  // Ids hold slashes: `openai/gpt-4o-mini`.
  app.get<ById>('/v1/models/*', { onRequest }, (request, reply) =>
    reply.type('application/json').send(find(catalog, request.params['*'])),
  );
  app.get<ById>(`${ROUTER_DOOR}/v1/models/*`, { onRequest: throughRouter }, (request, reply) =>
    reply.type('application/json').send(find(catalog, request.params['*'], routerOf(request))),
  );
}

interface ById {
  Params: { '*': string };
}

function listOf(catalog: Catalog, router?: string): string {
  return JSON.stringify({ object: 'list', data: catalog.models(router).map(describe) });
}

function find(catalog: Catalog, id: string, router?: string): string {
  const resolution = catalog.resolve(id, { router });
  if (resolution === undefined)
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
