import type { Millis } from '../../shared/clock.ts';

/**
 * A clairvoyant least-work-left queue, to compare with: it knows how long each request will take at each deployment and
 * when each slot will be free, and sends every request, in the order of their coming, where it will be done first.
 */
export class Ideal {
  readonly #deployments: ReadonlyArray<{ readonly meanMs: Millis; readonly freeAt: Float64Array }>;

  /** @param deployments slots: at all workers together */
  constructor(deployments: ReadonlyArray<{ readonly meanMs: Millis; readonly slots: number }>) {
    this.#deployments = deployments.map(({ meanMs, slots }) => ({ meanMs, freeAt: new Float64Array(slots) }));
  }

  /** How long this request takes from its coming to its end. */
  latencyMs(size: number, now: Millis): Millis {
    let best = this.#deployments[0]!;
    let bestEnd = Infinity;
    for (const deployment of this.#deployments) {
      const end = Math.max(now, deployment.freeAt[0]!) + size * deployment.meanMs;
      if (end < bestEnd) [best, bestEnd] = [deployment, end];
    }
    sink(best.freeAt, bestEnd);
    return bestEnd - now;
  }
}

/** Replaces the least of a binary heap. */
function sink(heap: Float64Array, value: number): void {
  let at = 0;
  for (;;) {
    const left = 2 * at + 1;
    if (left >= heap.length) break;
    const child = left + 1 < heap.length && heap[left + 1]! < heap[left]! ? left + 1 : left;
    if (heap[child]! >= value) break;
    heap[at] = heap[child]!;
    at = child;
  }
  heap[at] = value;
}
