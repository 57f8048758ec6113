import type { Deployment } from '../../../shared/catalog.ts';
import type { Millis } from '../../../shared/clock.ts';
import { GatewayError } from '../../../shared/errors.ts';
import type { Requirements, RuledOut } from './eligible.ts';
import { ruledOut } from './eligible.ts';
import type { HealthTable } from './health-table.ts';
import type { SlotTable } from './slot-table.ts';

/** What the table of slots and that of health are asked for one request. */
export interface Surroundings {
  readonly health: HealthTable;
  readonly slots: SlotTable;
  /** Every worker that lives has been heard of: a pool without one has none. */
  readonly isSettled: boolean;
  readonly now: Millis;
}

/** Whether the deployment could serve the request now, if a slot is free. */
export function isReady(deployment: Deployment, required: Requirements, around: Surroundings): boolean {
  const { health, slots, now } = around;
  return (
    ruledOut(deployment, required) === undefined &&
    !health.isForced(deployment.id) &&
    slots.hasWorkers(deployment.pool) &&
    health.usableAt(deployment.id, slots.workersOf(deployment.pool), required.tokens, now) <= now
  );
}

/** Who may serve a request later, and why the others never will. */
export interface Candidates {
  /** Busy, or at a limit of their own or their provider's. */
  readonly waitable: readonly Deployment[];
  /** Given up by every worker for a while: breakers are open, or checks fail. */
  readonly shut: readonly Deployment[];
  readonly ruledOut: ReadonlySet<RuledOut>;
}

/** Sorts deployments that could not serve a request at once. */
export function findCandidates(
  deployments: Iterable<Deployment>,
  required: Requirements,
  { health, slots, isSettled, now }: Surroundings,
): Candidates {
  const waitable: Deployment[] = [];
  const shut: Deployment[] = [];
  const reasons = new Set<RuledOut>();
  for (const deployment of deployments) {
    const reason = ruledOut(deployment, required);
    if (reason !== undefined) reasons.add(reason);
    else if (health.isForced(deployment.id)) continue;
    // Until all have been heard of it may have some: one waits for them.
    else if (!slots.hasWorkers(deployment.pool)) waitable.push(...(isSettled ? [] : [deployment]));
    else (health.isShutAt(deployment.id, slots.workersOf(deployment.pool), now) ? shut : waitable).push(deployment);
  }
  return { waitable, shut, ruledOut: reasons };
}

const LACKING: Readonly<Record<RuledOut, string>> = {
  failed: '',
  region: 'runs in a region that the request may use',
  context: 'takes an input this long',
  continues: 'can continue a text',
  price: 'has a price that the budget could pay',
  tools: 'takes tools',
  vision: 'takes images',
  audio: 'takes audio',
  pdf: 'takes files',
  schema: 'answers by a JSON schema',
};

/** What a client is told when there is nobody. */
export function nobody(model: string, { ruledOut: reasons }: Candidates, required: Requirements): GatewayError {
  const lacking = [...reasons].filter((reason) => reason !== 'failed');
  if (lacking.length > 0 && !reasons.has('failed')) {
    const what = lacking.map((reason) => LACKING[reason]).join(' and ');
    const message = `No deployment of \`${model}\` ${what}.`;
    // Where it may run is the operator's to say, the rest is what the request asks for.
    if (lacking.length === 1 && lacking[0] === 'region')
      return new GatewayError('no_capable_deployment', `${message} Regions: ${required.regions?.join(', ') ?? ''}.`);
    return new GatewayError('no_capable_deployment', message);
  }
  return noneNow();
}

export function noneNow(): GatewayError {
  return new GatewayError('no_deployment', 'No deployment of this model can serve the request now.', {
    retryAfterMs: 1_000,
  });
}

/** Of those that are shut, the one that would be tried next anyhow. */
export function leastBad(shut: readonly Deployment[], { health, slots, now }: Surroundings): Deployment[] {
  const at = (deployment: Deployment): Millis =>
    health.usableAt(deployment.id, slots.workersOf(deployment.pool), 0, now);
  const keyed = shut.map((deployment) => ({ deployment, at: at(deployment) }));
  return keyed.sort((a, b) => (a.at === b.at ? 0 : a.at - b.at)).map(({ deployment }) => deployment);
}
