import { Counter, Gauge, Histogram } from 'prom-client';
import type { Registry } from 'prom-client';
import type { ErrorCode } from '../../shared/errors.ts';
import type { AttemptEnd } from '../../shared/messages/attempt.ts';
import type { Endpoint, Placed } from '../../shared/messages/envelope.ts';
import type { AdmittedRequest } from './request.ts';

/** The boundaries that the GenAI semantic conventions advise, in seconds and in tokens. */
const SECONDS = [0.01, 0.02, 0.04, 0.08, 0.16, 0.32, 0.64, 1.28, 2.56, 5.12, 10.24, 20.48, 40.96, 81.92];
const TOKENS = [1, 4, 16, 64, 256, 1_024, 4_096, 16_384, 65_536, 262_144, 1_048_576];
/** Clients choose model names: label sets beyond this many are counted under `other`. */
const MAX_LABEL_SETS = 1_000;

/** The histograms of one deployment and operation, looked up once. */
interface Instruments {
  readonly duration: Histogram.Internal<string>;
  readonly ttft: Histogram.Internal<string>;
  readonly input: Histogram.Internal<string>;
  readonly output: Histogram.Internal<string>;
}

/** What `/metrics` says of requests, under the GenAI semantic conventions' names where they have one. */
export class IngressMetrics {
  /** Requests placed without asking a router. */
  readonly placedAhead: Counter.Internal;
  /** Attempts begun after another one of the same request had failed, by route. */
  readonly retries: Counter<'route'>;
  /** Retries that were not made, since there had been too many of late. */
  readonly retryBudgetExhausted: Counter<'route'>;
  /** Second attempts begun beside a slow one, and whether theirs was the answer. */
  readonly hedges: Counter<'route' | 'won'>;
  /** Streams that another deployment went on with. */
  readonly streamContinuations: Counter;
  /** Requests that passed although nobody could tell how their soft budgets stand. */
  readonly budgetUnchecked: Counter;
  readonly limitsWithoutRedis: Counter;
  readonly #requests: Counter<'endpoint' | 'status' | 'code'>;
  readonly #requestSeconds: Readonly<Record<Endpoint, Histogram.Internal<'endpoint'>>>;
  readonly #failures: Counter<'deployment' | 'code'>;
  readonly #operationSeconds: Histogram;
  readonly #ttftSeconds: Histogram;
  readonly #tokens: Histogram;
  readonly #instruments = new Map<string, Instruments>();
  readonly #requestCounters = new Map<string, Counter.Internal>();

  /** @param inFlight reads the number of requests that this ingress owns now */
  constructor(registry: Registry, inFlight: () => number) {
    const registers = [registry];
    const gen = ['gen_ai_operation_name', 'gen_ai_provider_name', 'gen_ai_request_model'];
    this.#requests = new Counter({
      name: 'sluice_requests_total',
      help: 'Requests ended, by endpoint, HTTP status and error code.',
      labelNames: ['endpoint', 'status', 'code'],
      registers,
    });
    const placedAhead = new Counter({
      name: 'sluice_placed_ahead_total',
      help: 'Attempts placed on a slot that a router had promised ahead, without asking it.',
      registers,
    });
    this.placedAhead = placedAhead.labels();
    this.retries = new Counter({
      name: 'sluice_retries_total',
      help: 'Attempts begun after another one of the same request had failed, by route.',
      labelNames: ['route'],
      registers,
    });
    this.retryBudgetExhausted = new Counter({
      name: 'sluice_retry_budget_exhausted_total',
      help: 'Failures told to the client since the route had retried too much of late, by route.',
      labelNames: ['route'],
      registers,
    });
    this.hedges = new Counter({
      name: 'sluice_hedges_total',
      help: 'Second attempts begun beside a slow one, by route, and whether their answer was the first.',
      labelNames: ['route', 'won'],
      registers,
    });
    this.streamContinuations = new Counter({
      name: 'sluice_stream_continuations_total',
      help: 'Streams that broke and that another deployment went on with.',
      registers,
    });
    this.budgetUnchecked = new Counter({
      name: 'sluice_budget_unchecked_total',
      help: 'Requests that passed while no ledger could tell how their soft budgets stand.',
      registers,
    });
    this.limitsWithoutRedis = new Counter({
      name: 'sluice_scope_limits_without_redis_total',
      help: 'Requests whose limits this ingress decided alone, since Redis was away.',
      registers,
    });
    const requestSeconds = new Histogram({
      name: 'sluice_request_duration_seconds',
      help: 'From admission to the last byte.',
      labelNames: ['endpoint'],
      buckets: SECONDS,
      registers,
    });
    this.#requestSeconds = { chat: requestSeconds.labels('chat'), embeddings: requestSeconds.labels('embeddings') };
    this.#failures = new Counter({
      name: 'sluice_attempts_failed_total',
      help: 'Attempts that failed, by deployment and error code.',
      labelNames: ['deployment', 'code'],
      registers,
    });
    this.#operationSeconds = new Histogram({
      name: 'gen_ai_client_operation_duration_seconds',
      help: 'GenAI operation duration.',
      labelNames: gen,
      buckets: SECONDS,
      registers,
    });
    this.#ttftSeconds = new Histogram({
      name: 'gen_ai_client_operation_time_to_first_chunk_seconds',
      help: 'Time to the first content token of a stream.',
      labelNames: gen,
      buckets: SECONDS,
      registers,
    });
    this.#tokens = new Histogram({
      name: 'gen_ai_client_token_usage',
      help: 'Tokens used, by gen_ai_token_type.',
      labelNames: [...gen, 'gen_ai_token_type'],
      buckets: TOKENS,
      registers,
    });
    new Gauge({
      name: 'sluice_requests_in_flight',
      help: 'Requests that this ingress owns now.',
      registers,
      collect() {
        this.set(inFlight());
      },
    });
  }

  requestEnded(endpoint: Endpoint, status: number, code: ErrorCode | null, durationMs: number): void {
    const key = `${endpoint} ${status} ${code}`;
    let counter = this.#requestCounters.get(key);
    if (counter === undefined) {
      counter = this.#requests.labels(endpoint, String(status), code ?? '');
      this.#requestCounters.set(key, counter);
    }
    counter.inc();
    this.#requestSeconds[endpoint].observe(durationMs / 1_000);
  }

  attemptEnded(request: Pick<AdmittedRequest, 'endpoint' | 'stream'>, placed: Placed, end: AttemptEnd): void {
    const instruments = this.#instrumentsOf(request.endpoint, placed);
    instruments.duration.observe(end.durationMs / 1_000);
    if (request.stream && end.ttftMs !== null) instruments.ttft.observe(end.ttftMs / 1_000);
    instruments.input.observe(end.usage.inputTokens);
    instruments.output.observe(end.usage.outputTokens);
  }

  attemptFailed(placed: Placed, code: ErrorCode): void {
    const isKnown = this.#instruments.size < MAX_LABEL_SETS;
    this.#failures.inc({ deployment: isKnown ? placed.deployment : 'other', code });
  }

  #instrumentsOf(endpoint: Endpoint, placed: Placed): Instruments {
    const key = `${endpoint} ${placed.deployment}`;
    const known = this.#instruments.get(key);
    if (known !== undefined) return known;
    const isRoom = this.#instruments.size < MAX_LABEL_SETS;
    const model = isRoom ? placed.deployment.slice(placed.pool.length + 1) : 'other';
    const labels = { gen_ai_operation_name: endpoint, gen_ai_provider_name: placed.pool, gen_ai_request_model: model };
    const instruments = {
      duration: this.#operationSeconds.labels(labels),
      ttft: this.#ttftSeconds.labels(labels),
      input: this.#tokens.labels({ ...labels, gen_ai_token_type: 'input' }),
      output: this.#tokens.labels({ ...labels, gen_ai_token_type: 'output' }),
    };
    if (isRoom) this.#instruments.set(key, instruments);
    return instruments;
  }
}
