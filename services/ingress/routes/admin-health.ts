import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import { z } from 'zod';
import type { Catalog } from '../../../shared/catalog.ts';
import { readJson } from '../../../shared/check.ts';
import { suggest } from '../../../shared/config/errors.ts';
import { GatewayError } from '../../../shared/errors.ts';
import type { ForcedStates } from '../../../shared/forced-states.ts';
import type { ForcedState } from '../../../shared/messages/control.ts';
import type { Clock } from '../../../shared/clock.ts';
import type { DeploymentHealth } from '../core/health-picture.ts';
import type { DeploymentWatch } from '../deployment-watch.ts';
import type { Health } from '../health.ts';
import type { InferenceDeps } from './inference.ts';
import { authenticate } from './inference.ts';

export interface AdminHealthDeps extends Pick<InferenceDeps, 'authenticator'> {
  readonly catalog: Catalog;
  readonly clock: Clock;
  readonly forced: Pick<ForcedStates, 'force' | 'release'>;
  readonly health: Health;
  readonly watch: DeploymentWatch;
}

const MAX_NOTE_CHARS = 500;
const MAX_SHOWN_CHARS = 200;

const Forcing = z.looseObject({ note: z.string().max(MAX_NOTE_CHARS).optional() });

/** What is to become of a deployment; undefined: its own health decides again. */
const ACTIONS = new Map<string, ForcedState['state'] | undefined>([
  ['drain', 'drained'],
  ['disable', 'disabled'],
  ['enable', undefined],
]);

/** `GET /admin/health` and `POST /admin/deployments/{deployment}/drain|disable|enable`: for administrators' keys. */
export function adminHealthRoutes(app: FastifyInstance, deps: AdminHealthDeps): void {
  const { forced, health, watch } = deps;
  const onRequest = [authenticate(deps), adminOnly];
  app.get('/admin/health', { onRequest }, async (_request, reply) => {
    const readiness = await health.readiness();
    return reply.send({ ...readiness, ...watch.picture() });
  });
  // Ids hold slashes, as they are or as %2F: `openai/gpt-4o-mini`.
  app.post<{ Params: { '*': string } }>('/admin/deployments/*', { onRequest }, async (request, reply) => {
    const { deployment, state } = readTarget(deps, request.params['*'], request);
    const note = readNote(request.body);
    if (state === undefined) await forced.release(deployment);
    else
      await forced.force({
        v: 1,
        deployment,
        state,
        atEpochMs: deps.clock.epochMs(),
        ...(note !== undefined && { note }),
      });
    return reply.send(healthOf(watch, deployment));
  });
}

function adminOnly({ caller }: FastifyRequest, _reply: FastifyReply, done: (error?: Error) => void): void {
  if (caller?.principal.isAdmin === true) return done();
  done(new GatewayError('admin_only', 'This is for administrators: the key may use models, and no more.'));
}

interface ForcingTarget {
  readonly deployment: string;
  readonly state: ForcedState['state'] | undefined;
}

/** @throws GatewayError(`unknown_url`) or, for a deployment that nobody has, `model_not_found` */
function readTarget({ catalog, watch }: AdminHealthDeps, path: string, { method, url }: FastifyRequest): ForcingTarget {
  const slash = path.lastIndexOf('/');
  const action = path.slice(slash + 1);
  if (slash < 0 || !ACTIONS.has(action))
    throw new GatewayError('unknown_url', `Unknown request URL: ${method} ${url.slice(0, MAX_SHOWN_CHARS)}.`);
  const deployment = path.slice(0, slash);
  // One that is forced although the configuration has it no more must have a way back.
  const known = watch.picture().deployments.map((each) => each.deployment);
  if (catalog.deployment(deployment) === undefined && !known.includes(deployment)) {
    const hint = suggest(deployment, known);
    throw new GatewayError(
      'model_not_found',
      `There is no deployment \`${deployment.slice(0, MAX_SHOWN_CHARS)}\`: name it as \`provider/model\`${hint === undefined ? '' : ` (${hint})`}.`,
    );
  }
  return { deployment, state: ACTIONS.get(action) };
}

function readNote(body: unknown): string | undefined {
  if (!Buffer.isBuffer(body) || body.length === 0) return undefined;
  let value: unknown;
  try {
    value = JSON.parse(body.toString('utf8'));
  } catch {
    throw new GatewayError('invalid_json', 'The request’s body is not JSON.');
  }
  const read = readJson(Forcing, value);
  if ('fault' in read)
    throw new GatewayError('invalid_request', `\`note\` must be a text of at most ${MAX_NOTE_CHARS} characters.`, {
      param: 'note',
    });
  return read.value.note;
}

/** As the list has it; one that nobody reports and nobody forces is well. */
function healthOf(watch: DeploymentWatch, deployment: string): DeploymentHealth {
  const found = watch.picture().deployments.find((each) => each.deployment === deployment);
  return found ?? { deployment, state: 'closed', in_flight: 0, workers: [], forced: null };
}
