import type { Deployment, Resolution, WeightedDeployment } from '../../../shared/catalog.ts';
import type { Tried } from '../../../shared/messages/envelope.ts';

/** Failures of a worker, not of what it called: another worker may serve the same deployment. */
const WORKER_FAULTS = new Set(['worker_lost', 'worker_busy']);

/**
 * The deployments that may still serve a request, best first: the targets in the order of the route's strategy, then
 * the fallbacks; none that has already failed this request.
 * @param random uniform in [0, 1)
 */
export function pickOrder(resolution: Resolution, tried: readonly Tried[], random: () => number): Deployment[] {
  const failed = new Set<string>();
  for (const { deployment, code } of tried) if (!WORKER_FAULTS.has(code)) failed.add(deployment);
  const targets = resolution.strategy === 'weighted' ? shuffleByWeight(resolution.targets, random) : resolution.targets;
  const ordered = [...targets.map((target) => target.deployment), ...resolution.fallbacks];
  return failed.size === 0 ? ordered : ordered.filter((deployment) => !failed.has(deployment.id));
}

/** Whether the best choice for one request is the best for the next as well: no lot is drawn between targets. */
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
