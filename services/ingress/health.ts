import type { Bus } from '../../shared/bus.ts';
import type { Clock, Millis } from '../../shared/clock.ts';
import type { LedgerBeat } from '../../shared/messages/beat.ts';
import { SILENT_AFTER_MS } from '../../shared/messages/beat.ts';
import type { Routers } from './routers.ts';
import type { WorkerWatch } from './worker-watch.ts';

export interface Check {
  readonly ok: boolean;
  /** Why not, or what was seen. */
  readonly detail: string;
}

export interface Readiness {
  readonly status: 'ready' | 'not_ready' | 'draining';
  readonly checks: Readonly<Record<string, Check>>;
}

/** Whether each thing that a request needs is there, from what was heard of it: asking costs nobody anything. */
export class Health {
  readonly #bus: Bus;
  readonly #clock: Clock;
  readonly #routers: Routers;
  readonly #workers: WorkerWatch;
  readonly #pools: readonly string[];
  readonly #pingRedis: (() => Promise<void>) | undefined;
  readonly #ledgers = new Map<string, { beat: LedgerBeat; at: Millis }>();
  #wasReady = false;
  isDraining = false;

  /** @param pools those that the configuration names; @param pingRedis throws when Redis is away; undefined without Redis */
  constructor(deps: {
    bus: Bus;
    clock: Clock;
    routers: Routers;
    workers: WorkerWatch;
    pools: readonly string[];
    pingRedis: (() => Promise<void>) | undefined;
  }) {
    this.#bus = deps.bus;
    this.#clock = deps.clock;
    this.#routers = deps.routers;
    this.#workers = deps.workers;
    this.#pools = deps.pools;
    this.#pingRedis = deps.pingRedis;
  }

  onLedgerBeat(beat: LedgerBeat): void {
    this.#ledgers.set(beat.ledger, { beat, at: this.#clock.now() });
  }

  /** Some ledger lives that reaches Postgres. */
  get hasLedger(): boolean {
    return this.#liveLedgers().some(({ postgres }) => postgres === null);
  }

  async readiness(): Promise<Readiness> {
    // A worker alone is not enough: routers must have been told of its slots, or the first requests are refused.
    const served = this.#workers.pools().intersection(this.#routers.pools());
    const missing = this.#pools.filter((pool) => !served.has(pool));
    const ledgers = this.#liveLedgers();
    const postgres = ledgers.find(({ postgres: fault }) => fault !== null)?.postgres ?? null;
    const checks: Record<string, Check> = {
      nats: this.#bus.isConnected ? good(`nats-server ${this.#bus.serverVersion}`) : bad('not connected'),
      router: this.#routers.count > 0 ? good(`${this.#routers.count} live`) : bad('no router is heard of'),
      workers:
        missing.length === 0
          ? good(`every pool is served: ${this.#pools.join(', ')}`)
          : bad(`no worker serves ${missing.join(', ')}`),
      ledger:
        ledgers.length > 0
          ? good(`${ledgers.length} live, ${ledgers.reduce((sum, { backlog }) => sum + backlog, 0)} events behind`)
          : bad('no ledger is heard of'),
      postgres:
        ledgers.length === 0
          ? bad('unknown: no ledger is heard of')
          : postgres === null
            ? good('answers')
            : bad(postgres),
      redis: await this.#redis(),
    };
    // A pool without a worker fails its own models only; the others are served.
    const isServing = this.#pools.some((pool) => served.has(pool));
    const needed = this.#wasReady ? ALWAYS_NEEDED : NEEDED_TO_BEGIN;
    const isReady = isServing && needed.every((name) => checks[name]?.ok === true);
    this.#wasReady ||= isReady;
    return { status: this.isDraining ? 'draining' : isReady ? 'ready' : 'not_ready', checks };
  }

  #liveLedgers(): LedgerBeat[] {
    const now = this.#clock.now();
    const live: LedgerBeat[] = [];
    for (const [id, { beat, at }] of this.#ledgers) {
      if (now - at > SILENT_AFTER_MS) this.#ledgers.delete(id);
      else live.push(beat);
    }
    return live;
  }

  async #redis(): Promise<Check> {
    if (this.#pingRedis === undefined) return good('not configured: limits and cache are in process');
    try {
      await this.#pingRedis();
      return good('answers');
    } catch (failure) {
      return bad(failure instanceof Error ? failure.message : 'does not answer');
    }
  }
}

const ALWAYS_NEEDED = ['nats', 'router'];
/**
 * Without a ledger no key is known. Later those that are known go on, usage waits in JetStream and limits are each
 * worker's own: a balancer that took every ingress out for that would make an outage of it.
 */
const NEEDED_TO_BEGIN = [...ALWAYS_NEEDED, 'ledger', 'postgres', 'redis'];

const good = (detail: string): Check => ({ ok: true, detail });
const bad = (detail: string): Check => ({ ok: false, detail });
