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
      return orderByWeight(targets, () => random() || Number.MIN_VALUE);
    case 'sticky':
      // The same numbers for the same affinity, so that a conversation finds the provider that has its beginning cached.
      return orderByWeight(targets, ({ deployment }) => uniform(`${deployment.id} ${affinity}`));
  }
}

/** Whether the best choice for one request is the best for the next as well, whosever it is. */
export function isSettledChoice({ strategy, targets }: Resolution): boolean {
  return strategy === 'ordered' || targets.length === 1;
}

/**
 * An order in which each place is won with a probability in proportion to the weights of those left: sorted by u^(1/w)
 * (Efraimidis and Spirakis, "Weighted random sampling with a reservoir", 2006). With numbers that are hashes it is weighted
 * rendezvous hashing, and a target that comes or goes moves only its own share (Thaler and Ravishankar 1998;
 * Schindelhauer and Schomaker 2005, the logarithmic method).
 * @param draw a number in (0, 1) for each target
 */
function orderByWeight(
  targets: readonly WeightedDeployment[],
  draw: (target: WeightedDeployment) => number,
): readonly WeightedDeployment[] {
  if (targets.length < 2) return targets;
  const keyed = targets.map((target) => ({ target, key: Math.log(draw(target)) / target.weight }));
  return keyed.sort((a, b) => b.key - a.key).map(({ target }) => target);
}

/** A number in (0, 1) that a text always has. */
function uniform(text: string): number {
  return (hash('sha256', text, 'buffer').readUIntBE(0, 6) + 0.5) / 2 ** 48;
}
