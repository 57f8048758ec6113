import { hash } from 'node:crypto';
import type { Deployment, Resolution, WeightedDeployment } from '../../../shared/catalog.ts';
import type { Tried } from '../../../shared/messages/envelope.ts';

/** Failures of a worker, not of what it called: another worker may serve the same deployment. */
const WORKER_FAULTS = new Set(['worker_lost', 'worker_busy']);

/** What of a request a strategy may look at. */
export interface Asked {
  readonly tried: readonly Tried[];
  /** Requests of the same affinity belong together: one conversation, one user, or one key. */
  readonly affinity: string;
}

/**
 * The deployments that may still serve a request, best first: the targets in the order of the route's strategy, then
 * the fallbacks; none that has already failed this request.
 * @param random uniform in [0, 1)
 */
export function pickOrder(resolution: Resolution, { tried, affinity }: Asked, random: () => number): Deployment[] {
  const failed = new Set<string>();
  for (const { deployment, code } of tried) if (!WORKER_FAULTS.has(code)) failed.add(deployment);
  const targets = orderTargets(resolution, affinity, random);
  const ordered = [...targets.map((target) => target.deployment), ...resolution.fallbacks];
  return failed.size === 0 ? ordered : ordered.filter((deployment) => !failed.has(deployment.id));
}

function orderTargets(
  { strategy, targets }: Resolution,
  affinity: string,
  random: () => number,
): readonly WeightedDeployment[] {
  switch (strategy) {
    case 'ordered':
      return targets;
    case 'weighted':
      return shuffleByWeight(targets, random);
    case 'sticky':
      return orderByAffinity(targets, affinity);
  }
}

/** Whether the best choice for one request is the best for the next as well, whosever it is. */
export function isSettledChoice({ strategy, targets }: Resolution): boolean {
  return strategy === 'ordered' || targets.length === 1;
}

/**
 * A random order in which each place is won with a probability in proportion to the weights of those left
 * (Efraimidis and Spirakis, "Weighted random sampling with a reservoir", 2006: sort by u^(1/w)).
 */
function shuffleByWeight(targets: readonly WeightedDeployment[], random: () => number): WeightedDeployment[] {
  if (targets.length < 2) return [...targets];
  const keyed = targets.map((target) => ({ target, key: Math.log(random() || Number.MIN_VALUE) / target.weight }));
  return keyed.sort((a, b) => b.key - a.key).map(({ target }) => target);
}

/**
 * The same order for the same affinity, so that a conversation finds the provider that has its beginning cached; over many
 * of them each target is first in proportion to its weight, and one that comes or goes moves only its own share
 * (weighted rendezvous hashing: Thaler and Ravishankar 1998; Schindelhauer and Schomaker 2005, the logarithmic method).
 */
function orderByAffinity(targets: readonly WeightedDeployment[], affinity: string): readonly WeightedDeployment[] {
  if (targets.length < 2) return targets;
  const keyed = targets.map((target) => ({
    target,
    key: Math.log(uniform(`${target.deployment.id} ${affinity}`)) / target.weight,
  }));
  return keyed.sort((a, b) => b.key - a.key).map(({ target }) => target);
}

/** A number in (0, 1) that a text always has. */
function uniform(text: string): number {
  return (hash('sha256', text, 'buffer').readUIntBE(0, 6) + 0.5) / 2 ** 48;
}
