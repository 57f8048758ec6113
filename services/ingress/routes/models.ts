import type { FastifyInstance } from 'fastify';
import type { Catalog, ListedModel } from '../../../shared/catalog.ts';
import { GatewayError } from '../../../shared/errors.ts';
import type { InferenceDeps } from './inference.ts';
import { authenticate } from './inference.ts';

/** When a model was made is the provider's to know; the schema wants a number. */
const CREATED_UNKNOWN = 0;

export interface ModelDeps extends InferenceDeps {
  readonly catalog: Catalog;
}

/** `GET /v1/models` and `/v1/models/{id}`: every name that a request may give as its model. */
export function modelRoutes(app: FastifyInstance, deps: ModelDeps): void {
  const { catalog } = deps;
  const onRequest = authenticate(deps);
  const list = JSON.stringify({ object: 'list', data: catalog.models().map(describe) });
  app.get('/v1/models', { onRequest }, (_request, reply) => reply.type('application/json').send(list));
  // Ids hold slashes: `openai/gpt-4o-mini`.
  app.get<{ Params: { '*': string } }>('/v1/models/*', { onRequest }, (request, reply) => {
    const id = request.params['*'];
    const resolution = catalog.resolve(id);
    if (resolution === undefined)
      throw new GatewayError(
        'model_not_found',
        `The model \`${id.slice(0, 200)}\` does not exist or you do not have access to it.`,
        { param: 'model' },
      );
    const ownedBy = resolution.route === null ? (resolution.targets[0]?.deployment.provider ?? 'sluice') : 'sluice';
    return reply.type('application/json').send(JSON.stringify(describe({ id, ownedBy })));
  });
}

function describe({ id, ownedBy }: ListedModel): object {
  return { id, object: 'model', created: CREATED_UNKNOWN, owned_by: ownedBy };
}
