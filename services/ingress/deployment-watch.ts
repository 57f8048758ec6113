import type { Clock, Millis } from '../../shared/clock.ts';
import type { LedgerBeat, RouterBeat, WorkerBeat } from '../../shared/messages/beat.ts';
import { SILENT_AFTER_MS } from '../../shared/messages/beat.ts';
import type { ForcedState } from '../../shared/messages/control.ts';
import type { HealthPicture, Parts } from './core/health-picture.ts';
import { pictureOf } from './core/health-picture.ts';

/** Instances of one kind that are remembered; beyond, the one unheard for longest is forgotten. */
const MAX_INSTANCES = 1_024;
/** Deployments that one worker may report; what comes after is not looked at. */
const MAX_REPORTS = 4_096;

export interface DeploymentWatchDeps {
  readonly clock: Clock;
  /** Deployments that are shown although nobody reports them. */
  readonly configured: readonly string[];
  readonly forced: { all(): ForcedState[] };
}

type Beats = { [Kind in 'workers' | 'routers' | 'ledgers']: Parts[Kind][number]['beat'] };

/**
 * How every deployment and every instance does, by their heartbeats: for who looks at `/admin/health` or `sluice health`.
 * No request is decided by it.
 */
export class DeploymentWatch {
  readonly #deps: DeploymentWatchDeps;
  readonly #workers: Table<Beats['workers']>;
  readonly #routers: Table<Beats['routers']>;
  readonly #ledgers: Table<Beats['ledgers']>;

  constructor(deps: DeploymentWatchDeps) {
    this.#deps = deps;
    this.#workers = new Table(deps.clock);
    this.#routers = new Table(deps.clock);
    this.#ledgers = new Table(deps.clock);
  }

  onWorkerBeat({ worker, isDraining, pools, deployments }: WorkerBeat): void {
    this.#workers.heard(worker, { worker, isDraining, pools, deployments: deployments.slice(0, MAX_REPORTS) });
  }

  onRouterBeat({ router, isDraining, waiting }: RouterBeat): void {
    this.#routers.heard(router, { router, isDraining, waiting });
  }

  onLedgerBeat(beat: LedgerBeat): void {
    this.#ledgers.heard(beat.ledger, beat);
  }

  /** @param stalledMs how long this process itself heard nothing because it was busy: nobody is blamed for that */
  sweep(now: Millis, stalledMs: Millis): void {
    for (const table of [this.#workers, this.#routers, this.#ledgers]) table.sweep(now, stalledMs);
  }

  picture(): HealthPicture {
    return pictureOf({
      configured: this.#deps.configured,
      forced: this.#deps.forced.all(),
      workers: this.#workers.all(),
      routers: this.#routers.all(),
      ledgers: this.#ledgers.all(),
    });
  }
}

/** The last beat of each instance of one kind; in the order in which they were heard. */
class Table<Beat> {
  readonly #clock: Clock;
  readonly #heard = new Map<string, { beat: Beat; at: Millis }>();

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  heard(id: string, beat: Beat): void {
    this.#heard.delete(id);
    if (this.#heard.size >= MAX_INSTANCES) this.#heard.delete(this.#heard.keys().next().value as string);
    this.#heard.set(id, { beat, at: this.#clock.now() });
  }

  sweep(now: Millis, stalledMs: Millis): void {
    for (const [id, heard] of this.#heard) {
      if (stalledMs > 0) heard.at += stalledMs;
      else if (now - heard.at > SILENT_AFTER_MS) this.#heard.delete(id);
    }
  }

  all(): Array<{ beat: Beat; ageMs: number }> {
    const now = this.#clock.now();
    return [...this.#heard.values()].map(({ beat, at }) => ({ beat, ageMs: now - at }));
  }
}
