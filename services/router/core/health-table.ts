import type { Millis } from '../../../shared/clock.ts';
import type { DeploymentReport } from '../../../shared/messages/beat.ts';
import { loadOf } from '../../../shared/peak-ewma.ts';

const MINUTE_MS = 60_000;
/** τ of the workers' averages: what they last told goes on decaying here. */
const DECAY_MS = 10_000;

/** Room under one limit, as a worker last told it, less what was placed here since. */
interface Room {
  readonly perMinute: number;
  units: number;
  at: Millis;
}

interface AtWorker {
  readonly breaker: DeploymentReport['breaker'];
  readonly probeAt: Millis;
  readonly isCheckFailed: boolean;
  readonly requests: Room | undefined;
  readonly tokens: Room | undefined;
  /** Requests that may yet be placed from here, in the slow start after a 429; undefined: any number. */
  starts: number | undefined;
  readonly ttftMs: number | undefined;
  readonly totalMs: number | undefined;
  readonly p95Ms: number | undefined;
  readonly at: Millis;
  inFlight: number;
  /** Its next probe was given to a request. */
  isProbed: boolean;
}

interface Known {
  /** Of a provider's 429, which is about the credential: it holds for all workers. */
  throttledUntil: Millis;
  readonly workers: Map<string, AtWorker>;
}

export type ForcedStateOf = (deployment: string) => 'drained' | 'disabled' | undefined;

/**
 * How the deployments do, as workers report it with each beat, and as it must have changed since by what this router
 * placed. Soft state: a worker's report replaces its last one, and a deployment of which nothing is told is well and idle.
 */
export class HealthTable {
  readonly #known = new Map<string, Known>();
  readonly #router: string;
  readonly #forcedStateOf: ForcedStateOf;

  /**
   * @param router whose table it is, by its id
   * @param forcedStateOf what an operator has forced on a deployment
   */
  constructor(router: string, forcedStateOf: ForcedStateOf = () => undefined) {
    this.#router = router;
    this.#forcedStateOf = forcedStateOf;
  }

  /**
   * All that a worker tells. Answers the deployments of which lines must know at once: whose state is another than before, for
   * the worse, and those that take one more in their slow start.
   */
  update(worker: string, reports: readonly DeploymentReport[], now: Millis): string[] {
    const news: string[] = [];
    const told = new Set<string>();
    for (const report of reports) {
      told.add(report.deployment);
      const known = this.#of(report.deployment);
      const before = known.workers.get(worker);
      const after = readReport(report, before, this.#router, now);
      known.workers.set(worker, after);
      const throttledUntil = now + (report.throttledMs ?? 0);
      const isNews = throttledUntil > Math.max(now, known.throttledUntil);
      if (isNews) known.throttledUntil = throttledUntil;
      const isWorse = isShut(after) && (before === undefined || !isShut(before));
      const isOpening = before?.starts === 0 && after.starts !== 0;
      if (isNews || isWorse || isOpening) news.push(report.deployment);
    }
    for (const [deployment, { workers }] of this.#known) if (!told.has(deployment)) workers.delete(worker);
    return news;
  }

  removeWorker(worker: string): void {
    for (const { workers } of this.#known.values()) workers.delete(worker);
  }

  /** A request that was sent back by the provider's limit says so itself, perhaps before the worker's beat. */
  throttle(deployment: string, until: Millis): void {
    const known = this.#of(deployment);
    known.throttledUntil = Math.max(known.throttledUntil, until);
  }

  /** Forgets what no worker tells of any more. */
  sweep(now: Millis): void {
    for (const [deployment, { workers, throttledUntil }] of this.#known) {
      if (workers.size === 0 && throttledUntil <= now) this.#known.delete(deployment);
    }
  }

  isForced(deployment: string): boolean {
    return this.#forcedStateOf(deployment) !== undefined;
  }

  /** Whether nothing is amiss with it, and its limits are far away: what is right for one request is so for the next. */
  isUnrestricted(deployment: string, now: Millis): boolean {
    const known = this.#known.get(deployment);
    if (this.isForced(deployment)) return false;
    if (known === undefined) return true;
    if (known.throttledUntil > now) return false;
    return [...known.workers.values()].every(
      (at) => !isShut(at) && at.starts === undefined && isAmple(at.requests, now) && isAmple(at.tokens, now),
    );
  }

  /** Whether this worker would take a request of so many tokens for the deployment now. */
  isUsableAt(deployment: string, worker: string, tokens: number, now: Millis): boolean {
    const known = this.#known.get(deployment);
    if (known === undefined) return true;
    return known.throttledUntil <= now && usableAt(known.workers.get(worker), tokens, now) <= now;
  }

  /**
   * When one of these workers would take it: `now` or before it, at once. Breakers count; a failed check is taken to last for
   * ever, and so is a slow start that takes no more now.
   */
  usableAt(deployment: string, workers: Iterable<string>, tokens: number, now: Millis): Millis {
    const known = this.#known.get(deployment);
    if (known === undefined) return now;
    let soonest = Infinity;
    for (const worker of workers) soonest = Math.min(soonest, usableAt(known.workers.get(worker), tokens, now));
    return Math.max(soonest, known.throttledUntil);
  }

  /** Whether each of these workers has given it up: its breaker is open, or its check fails. A limit is not that. */
  isShutAt(deployment: string, workers: Iterable<string>, now: Millis): boolean {
    const known = this.#known.get(deployment);
    if (known === undefined) return false;
    for (const worker of workers) {
      const at = known.workers.get(worker);
      if (at === undefined || !isShut(at) || shutUntil(at, now) <= now) return false;
    }
    return true;
  }

  /** A request was placed: the next one finds less room, until the worker's next report. */
  placed(deployment: string, worker: string, tokens: number, now: Millis): void {
    const at = this.#known.get(deployment)?.workers.get(worker);
    if (at === undefined) return;
    at.inFlight++;
    if (isShut(at)) at.isProbed = true;
    if (at.starts !== undefined) at.starts = Math.max(0, at.starts - 1);
    if (at.requests !== undefined) spend(at.requests, 1, now);
    if (at.tokens !== undefined) spend(at.tokens, tokens, now);
  }

  /** PeakEWMA latency × (in flight + 1): the lesser is the better. Streams are judged by their first token. */
  load(deployment: string, isStream: boolean, now: Millis): number {
    const known = this.#known.get(deployment);
    if (known === undefined) return 0;
    let inFlight = 0;
    let sum = 0;
    let measured = 0;
    for (const at of known.workers.values()) {
      inFlight += at.inFlight;
      const ms = isStream ? at.ttftMs : at.totalMs;
      if (ms === undefined) continue;
      sum += ms * Math.exp((at.at - now) / DECAY_MS);
      measured++;
    }
    return loadOf(measured === 0 ? undefined : sum / measured, inFlight);
  }

  /** p95 of the time to first token, as the slowest worker sees it; undefined when too few have come. */
  p95(deployment: string): Millis | undefined {
    let slowest: number | undefined;
    for (const { p95Ms } of this.#known.get(deployment)?.workers.values() ?? []) {
      if (p95Ms !== undefined && (slowest === undefined || p95Ms > slowest)) slowest = p95Ms;
    }
    return slowest;
  }

  #of(deployment: string): Known {
    let known = this.#known.get(deployment);
    if (known === undefined) {
      known = { throttledUntil: -Infinity, workers: new Map() };
      this.#known.set(deployment, known);
    }
    return known;
  }
}

function readReport(report: DeploymentReport, before: AtWorker | undefined, router: string, now: Millis): AtWorker {
  const { breaker, inFlight, probeInMs, checkFailed, requests, tokens, starts, ttftMs, totalMs, p95Ms } = report;
  // Half-open and no time: a probe is under way, and who came now would be sent away.
  const probeAt = breaker === 'closed' ? -Infinity : now + (probeInMs ?? Infinity);
  return {
    ...{ breaker, inFlight, ttftMs, totalMs, p95Ms, at: now, probeAt },
    isCheckFailed: typeof checkFailed === 'string',
    requests: requests && { perMinute: requests.perMinute, units: requests.room, at: now },
    tokens: tokens && { perMinute: tokens.perMinute, units: tokens.room, at: now },
    starts: starts && (starts[router] ?? 0),
    // One is under way there, or on its way there.
    isProbed:
      (breaker === 'half_open' && probeInMs === undefined) ||
      (before?.isProbed === true && breaker === before.breaker && now - before.at < PROBE_ON_ITS_WAY_MS),
  };
}

/** A placement reaches its worker within this, or never. */
const PROBE_ON_ITS_WAY_MS = 100;

function isShut(at: AtWorker): boolean {
  return at.breaker !== 'closed' || at.isCheckFailed;
}

/** One probe at a time: the next is due once the worker has told what became of the last. */
function shutUntil(at: AtWorker, now: Millis): Millis {
  if (at.isCheckFailed || at.isProbed) return Infinity;
  return at.breaker === 'closed' ? now : at.probeAt;
}

function usableAt(at: AtWorker | undefined, tokens: number, now: Millis): Millis {
  if (at === undefined) return now;
  // Its next report says when: after an answer, which nobody foresees.
  if (at.starts === 0) return Infinity;
  const open = isShut(at) ? shutUntil(at, now) : now;
  return Math.max(open, hasRoomAt(at.requests, 1, now), hasRoomAt(at.tokens, tokens, now));
}

function hasRoomAt(room: Room | undefined, units: number, now: Millis): Millis {
  if (room === undefined) return now;
  // What is more than a minute's worth is let through when all of it is there: late, but not never.
  const missing = Math.min(units, room.perMinute) - unitsOf(room, now);
  return missing <= 0 ? now : now + (missing / room.perMinute) * MINUTE_MS;
}

/** Half of a minute's worth is there, and nobody uses that up before the next report. */
function isAmple(room: Room | undefined, now: Millis): boolean {
  return room === undefined || unitsOf(room, now) >= room.perMinute / 2;
}

function unitsOf({ units, perMinute, at }: Room, now: Millis): number {
  return Math.min(perMinute, units + ((now - at) / MINUTE_MS) * perMinute);
}

function spend(room: Room, units: number, now: Millis): void {
  room.units = unitsOf(room, now) - units;
  room.at = now;
}
