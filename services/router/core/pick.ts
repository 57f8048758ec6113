import { hash } from 'node:crypto';
import type { Deployment, Resolution, Target } from '../../../shared/catalog.ts';
import type { Tier } from '../../../shared/config.ts';
import { TIERS } from '../../../shared/config.ts';
import type { Price } from '../../../shared/pricing.ts';
import { costOf } from '../../../shared/pricing.ts';

/** What of a request a strategy may look at. */
export interface Asked {
  /** Requests of the same affinity belong together: one conversation, one user, or one key. */
  readonly affinity: string;
  readonly inputTokens: number;
  readonly outputTokens: number;
  /** For the strategy `complexity`. */
  readonly tier: Tier | undefined;
}

export interface PickDeps {
  /** What one more request would cost at a deployment, by id: see `HealthTable.load`. */
  readonly loadOf: (deployment: string) => number;
  /** Whether it can serve the request now. Asked as late as can be, for it is not free. */
  readonly isReady: (deployment: Deployment) => boolean;
  /** Uniform in [0, 1). */
  readonly random: () => number;
}

/**
 * The targets that the request belongs to: of a split route those of one variant, by a hash of the affinity, so that a user
 * or conversation always gets the same.
 */
export function targetsOf(
  { route, targets, variants }: Pick<Resolution, 'route' | 'targets' | 'variants'>,
  affinity: string,
): { readonly targets: readonly Target[]; readonly variant: string | undefined } {
  if (variants.length === 0) return { targets, variant: undefined };
  const total = variants.reduce((sum, { weight }) => sum + weight, 0);
  let at = uniform(`${route} ${affinity}`) * total;
  // The last one also takes what rounding leaves.
  const chosen = variants.find(({ weight }) => (at -= weight) < 0) ?? variants.at(-1);
  return { targets: chosen?.targets ?? targets, variant: chosen?.name };
}

/** The targets that are ready, in the order in which the route's strategy would have them asked; made as far as it is read. */
export function inOrder(
  strategy: Resolution['policy']['strategy'],
  targets: readonly Target[],
  asked: Asked,
  deps: PickDeps,
): Iterable<Target> {
  if (targets.length < 2) return readyOf(targets, deps);
  switch (strategy) {
    case 'ordered':
      return readyOf(targets, deps);
    case 'peak_ewma':
      return byLoad(targets, deps);
    case 'weighted':
      return readyOf(
        byWeight(targets, () => deps.random() || Number.MIN_VALUE),
        deps,
      );
    case 'sticky':
      // The same numbers for the same affinity, so that a conversation finds the provider that has its beginning cached.
      return readyOf(byWeight(targets, rendezvous(asked.affinity)), deps);
    case 'cheapest':
      return byCost(targets, asked, deps);
    case 'complexity':
      return byTier(targets, asked.tier ?? 'complex', deps);
  }
}

/** Whether the best choice for one request is the best for the next as well, whosever it is. */
export function isSettledChoice({ policy, targets, variants }: Resolution): boolean {
  return variants.length === 0 && (policy.strategy === 'ordered' || targets.length === 1);
}

/**
 * Of two at random the less loaded one (Mitzenmacher, "The power of two choices in randomized load balancing", 2001): nearly as
 * even as asking for the least loaded of all, and routers that all know the same do not all run to the same one. A target
 * of weight 2 takes twice the load before it counts as much.
 */
function* byLoad(targets: readonly Target[], deps: PickDeps): Generator<Target> {
  const left = [...targets];
  for (let first = drawReady(left, deps); first !== undefined; first = drawReady(left, deps)) {
    const other = drawReady(left, deps);
    if (other === undefined) {
      yield first;
      return;
    }
    const isFirst = weightedLoad(first, deps.loadOf) <= weightedLoad(other, deps.loadOf);
    left.push(isFirst ? other : first);
    yield isFirst ? first : other;
  }
}

/** Takes one at random that is ready out of `left`, and those that are not which it met. */
function drawReady(left: Target[], { isReady, random }: PickDeps): Target | undefined {
  while (left.length > 0) {
    const at = Math.floor(random() * left.length);
    const drawn = left[at] as Target;
    left[at] = left.at(-1) as Target;
    left.pop();
    if (isReady(drawn.deployment)) return drawn;
  }
  return undefined;
}

function* readyOf(targets: Iterable<Target>, { isReady }: PickDeps): Generator<Target> {
  for (const target of targets) if (isReady(target.deployment)) yield target;
}

function weightedLoad({ deployment, weight }: Target, loadOf: PickDeps['loadOf']): number {
  return loadOf(deployment.id) / weight;
}

/**
 * An order in which each place is won with a probability in proportion to the weights of those left: sorted by u^(1/w)
 * (Efraimidis and Spirakis, "Weighted random sampling with a reservoir", 2006). With numbers that are hashes it is weighted
 * rendezvous hashing, and a target that comes or goes moves only its own share (Thaler and Ravishankar 1998;
 * Schindelhauer and Schomaker 2005, the logarithmic method).
 * @param draw a number in (0, 1) for each target
 */
function* byWeight(targets: readonly Target[], draw: (target: Target) => number): Generator<Target> {
  const keyed = targets.map((target) => ({ target, key: Math.log(draw(target)) / target.weight }));
  // Nearly always the first will do, and to find it needs no sorting.
  const best = keyed.reduce((a, b) => (b.key > a.key ? b : a));
  yield best.target;
  for (const other of keyed.sort((a, b) => b.key - a.key)) if (other !== best) yield other.target;
}

/** Of each deployment, 32 bits that it always has. */
const marks = new WeakMap<Target['deployment'], number>();

/** For each target a number in (0, 1) that it always has for this affinity. One digest for all of them: each takes a µs. */
function rendezvous(affinity: string): (target: Target) => number {
  const own = bitsOf(affinity);
  return ({ deployment }) => {
    let mark = marks.get(deployment);
    if (mark === undefined) {
      mark = bitsOf(deployment.id);
      marks.set(deployment, mark);
    }
    return (mixed(own ^ mark) + 0.5) / 2 ** 32;
  };
}

function bitsOf(text: string): number {
  return hash('sha256', text, 'buffer').readUInt32BE(0);
}

/** The finalizer of MurmurHash3 (Appleby): each bit of the input changes each of the output with a probability of a half. */
function mixed(bits: number): number {
  let h = Math.imul(bits ^ (bits >>> 16), 0x85ebca6b);
  h = Math.imul(h ^ (h >>> 13), 0xc2b2ae35);
  return (h ^ (h >>> 16)) >>> 0;
}

/**
 * By what this request will probably cost there; of those that cost the same, the less loaded one first. No price: last.
 * Nearly always the cheapest will do, so only as many are looked at as are asked for.
 */
function* byCost(targets: readonly Target[], asked: Asked, deps: PickDeps): Generator<Target> {
  const costs = new Float64Array(targets.length);
  for (const [at, { deployment }] of targets.entries()) costs[at] = expectedCost(deployment.price, asked);
  for (let cost = leastAbove(-1, costs); cost !== undefined; cost = leastAbove(cost, costs)) {
    const equal = targets.filter(({ deployment }, at) => costs[at] === cost && deps.isReady(deployment));
    if (equal.length < 2) yield* equal;
    else yield* byLeastLoad(equal, deps.loadOf);
  }
}

/** To compare with, not to charge: 10^-6 nano-dollars, as exact as a double is. */
function expectedCost(price: Price | undefined, { inputTokens, outputTokens }: Asked): number {
  if (price === undefined) return Infinity;
  if (price.tiers === undefined) return inputTokens * price.input + outputTokens * price.output;
  return 1e6 * costOf({ inputTokens, outputTokens, cachedInputTokens: 0, reasoningTokens: 0 }, price);
}

function leastAbove(floor: number, values: Float64Array): number | undefined {
  let least: number | undefined;
  for (const value of values) if (value > floor && (least === undefined || value < least)) least = value;
  return least;
}

function* byLeastLoad(targets: readonly Target[], loadOf: PickDeps['loadOf']): Generator<Target> {
  const keyed = targets.map((target) => ({ target, load: weightedLoad(target, loadOf) }));
  for (const { target } of keyed.sort((a, b) => (a.load === b.load ? 0 : a.load - b.load))) yield target;
}

/** Those for the request's tier and those for all; then those for harder ones, and at last for easier ones. */
function* byTier(targets: readonly Target[], tier: Tier, deps: PickDeps): Generator<Target> {
  const wanted = TIERS.indexOf(tier);
  const harder = TIERS.slice(wanted + 1);
  const easier = TIERS.slice(0, wanted).reverse();
  yield* byLoad(
    targets.filter((target) => target.tier === undefined || target.tier === tier),
    deps,
  );
  for (const other of [...harder, ...easier]) {
    yield* byLoad(
      targets.filter((target) => target.tier === other),
      deps,
    );
  }
}

/** A number in (0, 1) that a text always has. */
function uniform(text: string): number {
  return (hash('sha256', text, 'buffer').readUIntBE(0, 6) + 0.5) / 2 ** 48;
}
