import type { ServerResponse } from 'node:http';
import type { Catalog } from '../../shared/catalog.ts';
import type { Millis } from '../../shared/clock.ts';
import { providersVerdict } from '../../shared/dialects/openai-error.ts';
import { locateOutputLimits } from '../../shared/dialects/output-limits.ts';
import type { ErrorCode } from '../../shared/errors.ts';
import { GatewayError } from '../../shared/errors.ts';
import type { Log } from '../../shared/log.ts';
import type { Account } from '../../shared/messages/account.ts';
import type { AttemptEnd, ResponseHead } from '../../shared/messages/attempt.ts';
import type { Placed, Refused } from '../../shared/messages/envelope.ts';
import type { OutputBound } from '../../shared/messages/task.ts';
import type { Terms } from './admission.ts';
import type { Reservation } from './budgets/reservation.ts';
import { envelopeOf } from './core/asking.ts';
import { History } from './core/history.ts';
import { nextStep, restBeforeRound } from './core/next-step.ts';
import { boundToTell } from './core/output-bound.ts';
import type { Progress } from './core/response-headers.ts';
import { answerHeaders, progressHeaders, STREAM_HEADERS, toHeaderValue } from './core/response-headers.ts';
import { ShownStream } from './core/shown-stream.ts';
import type { SlotsAhead } from './core/slots-ahead.ts';
import { aheadOf } from './core/slots-ahead.ts';
import type { TranscriptRoom } from './core/transcript.ts';
import type { IngressMetrics } from './metrics.ts';
import { Race } from './race.ts';
import { Relay } from './relay.ts';
import type { AdmittedRequest } from './request.ts';
import type { RouteBook, RouteTerms } from './route-terms.ts';
import type { Routers } from './routers.ts';
import type { RunDeps, RunOwner } from './run.ts';
import { Run } from './run.ts';
import type { SeenAttempt } from './witness.ts';

/** Questions to routers for one request; more than attempts, since a busy worker is no attempt. */
const MAX_QUESTIONS = 24;
/** A client that takes nothing for this long is cut off. */
const CLIENT_STALL_MS = 30_000;

export interface ExchangeDeps extends RunDeps {
  readonly log: Log;
  readonly catalog: Pick<Catalog, 'deployment'>;
  readonly ahead: SlotsAhead;
  readonly routers: Routers;
  readonly routes: RouteBook;
  readonly transcripts: TranscriptRoom;
  readonly metrics: IngressMetrics;
  readonly keepAliveMs: number;
  /** Uniform in [0, 1). */
  readonly random: () => number;
}

/**
 * One request from its admission to its last byte. When an attempt fails the policy of its route says whether another
 * follows. What has been shown to the client is kept only where another may go on with it. It ends exactly once.
 */
export class Exchange implements RunOwner {
  readonly #deps: ExchangeDeps;
  readonly #request: AdmittedRequest;
  readonly #admitted: Terms;
  readonly #onOver: () => void;
  readonly #relay: Relay;
  readonly #history = new History();
  readonly #race = new Race();
  #terms: RouteTerms;
  #deadline: Millis;
  /** Between two rounds: nobody is asked before this. */
  #restsUntil: Millis | undefined;
  /** Where it is, or was last. */
  #placed: Placed | undefined;
  #shown: ShownStream | undefined;
  /** By all its attempts. */
  readonly #used = { tokens: 0, costNanoUsd: 0 };
  #isOver = false;

  /** @param onOver called once */
  constructor(deps: ExchangeDeps, admitted: Terms, response: ServerResponse, onOver: () => void) {
    const { clock, routes } = deps;
    const { request } = admitted;
    this.#deps = deps;
    this.#admitted = admitted;
    this.#onOver = onOver;
    this.#request = request;
    this.#deadline = clock.now() + request.deadlineEpochMs - clock.epochMs();
    this.#terms = routes.termsOf(request, request.servedAs ?? request.model);
    const onTaken = (bytes: number): void => this.#race.lead?.grant(bytes);
    this.#relay = new Relay({ response, isStream: request.stream, onTaken, now: clock.now });
    response.on('close', () => this.#onClientGone());
  }

  /** Takes a place that was promised ahead, else asks a router for one. */
  start(): void {
    const { ahead, clock, outgoing, metrics } = this.#deps;
    const now = clock.now();
    this.#terms.retries.deposit(now);
    this.#terms.hedges?.deposit(now);
    const { nameKey: name } = this.#request;
    const placed = name !== undefined && outgoing.isConnected ? ahead.take(name, now) : undefined;
    const run = new Run(this.#deps, this, this.#request, this.#admitted.cover?.next());
    this.#race.start(run);
    if (placed === undefined) return this.#ask(run);
    metrics.placedAhead.inc();
    this.#submit(run, placed);
  }

  /** Nobody listens at this worker or router any more, or it has been silent for too long. */
  onPeerGone(peer: string): void {
    this.#race.onPeerGone(peer);
  }

  /** The connection to the broker is gone: every answer on its way is lost. */
  onBrokerGone(): void {
    this.#race.onBrokerGone();
    this.#endWith(new GatewayError('broker_unavailable', 'The message broker is away.', { retryAfterMs: 1_000 }));
  }

  /** This ingress ends, and has waited for as long as it may. */
  onShutdown(): void {
    this.#endWith(new GatewayError('shutting_down', 'This gateway is shutting down.', { retryAfterMs: 1_000 }));
  }

  /** Looks at the clock: deadline, stalled client, rest, silent router, quiet stream. */
  check(now: Millis): void {
    if (this.#isOver) return;
    if (now >= this.#deadline) {
      return this.#endWith(
        new GatewayError('deadline_exceeded', 'The request’s deadline came before its answer was complete.'),
      );
    }
    if (this.#relay.blockedFor(now) > CLIENT_STALL_MS) {
      this.#race.giveUp('client_too_slow');
      this.#relay.destroy();
      return this.#over('client_too_slow', 408);
    }
    if (this.#restsUntil !== undefined && now >= this.#restsUntil) this.#begin();
    this.#race.check(now);
    if (this.#relay.silentFor(now) >= this.#deps.keepAliveMs)
      this.#relay.keepAlive({ ...STREAM_HEADERS, ...progressHeaders(this.#progress()) });
  }

  onPlaced(run: Run, placed: Placed): void {
    const { ahead, clock, outgoing } = this.#deps;
    const { nameKey: name } = this.#request;
    outgoing.giveBack(name === undefined ? aheadOf(placed) : ahead.add(name, placed, clock.now()));
    this.#submit(run, placed);
  }

  onWaiting(run: Run): void {
    if (!this.#race.isSecond(run)) return;
    // Where nobody is free, a second attempt would take a slot from a first one.
    run.giveUp('hedge_lost');
    this.#race.goOnWithout(run);
  }

  onRefused(run: Run, { error, isExhausted }: Refused): void {
    if (this.#race.goOnWithout(run)) return;
    const { clock, random } = this.#deps;
    const { lastFailure: last, rounds } = this.#history;
    const isNobodyElse = isExhausted || error.code === 'no_capable_deployment' || this.#shown?.failure !== undefined;
    if (last === undefined || !isNobodyElse) return this.#endWith(GatewayError.fromWire(error));
    const now = clock.now();
    const restMs = isExhausted
      ? restBeforeRound(last, { rounds, remainingMs: this.#deadline - now }, random)
      : undefined;
    if (restMs === undefined) return this.#endWith(this.#shown?.failure ?? last);
    this.#race.start(undefined);
    this.#history.beginRound();
    this.#restsUntil = now + restMs;
  }

  onUnanswered(run: Run, waitedMs: Millis): void {
    this.#history.waitedMs += waitedMs;
    this.#ask(run);
  }

  onHead(run: Run, head: ResponseHead): void {
    this.#choose(run);
    const { endpoint, stream } = this.#request;
    if (this.#shown !== undefined) return this.#showSeam(this.#shown);
    this.#relay.begin(answerHeaders(head, stream, this.#progress()), head.plain?.bodyBytes);
    const isKept = stream && endpoint === 'chat' && this.#terms.policy.onStreamBreak === 'continue';
    if (isKept) this.#shown = new ShownStream(this.#deps.transcripts);
  }

  onData(bytes: Buffer): void {
    this.#shown?.add(bytes);
    this.#relay.data(bytes);
  }

  onWhole(run: Run, head: ResponseHead, body: Buffer): void {
    this.#choose(run);
    this.#relay.whole(answerHeaders(head, this.#request.stream, this.#progress()), body);
  }

  onUsed(tokens: number, costNanoUsd: number): void {
    this.#used.tokens += tokens;
    this.#used.costNanoUsd += costNanoUsd;
  }

  onEnd(seen: SeenAttempt, end: AttemptEnd): void {
    this.#relay.end();
    this.#deps.metrics.attemptEnded(this.#request, seen.placed, end);
    this.#over(null, 200, end);
  }

  onFailed(run: Run, seen: SeenAttempt, failure: GatewayError): void {
    const { clock, metrics } = this.#deps;
    metrics.attemptFailed(seen.placed, failure.code);
    this.#history.fail(failure, { placed: seen.placed, attempt: seen.task.attempt }, run);
    if (this.#race.goOnWithout(run)) return;
    const now = clock.now();
    const { attempts, costNanoUsd, lastFailure } = this.#history;
    const hasShown = run.hasHead || this.#shown !== undefined;
    const remainingMs = this.#deadline - now;
    const { policy, retries, label } = this.#terms;
    const step = nextStep(failure.code, policy, { attempts, costNanoUsd, hasShown, remainingMs }, retries, now);
    if (step === 'over_budget') metrics.retryBudgetExhausted.inc({ route: label });
    const canContinue = !run.hasHead || this.#shown?.break(failure, seen.outputTokensSoFar, this.#request) === true;
    if (step === 'elsewhere' && canContinue) return this.#begin();
    this.#endWith(this.#shown?.failure ?? lastFailure ?? failure);
  }

  onBroken(run: Run, failure: GatewayError): void {
    if (!this.#race.goOnWithout(run)) this.#endWith(failure);
  }

  #begin(): void {
    this.#restsUntil = undefined;
    const { cover } = this.#admitted;
    const reservation = cover?.next();
    if (cover === undefined || reservation !== undefined) return this.#beginWith(reservation);
    // Until its budgets say that they pay for another attempt, nobody is asked.
    this.#race.start(undefined);
    cover.nextLater().then(
      (later) => (this.#isOver ? later.release() : this.#beginWith(later)),
      (refusal: unknown) =>
        this.#endWith(this.#shown?.failure ?? this.#history.lastFailure ?? GatewayError.from(refusal)),
    );
  }

  #beginWith(reservation: Reservation | undefined): void {
    const run = new Run(this.#deps, this, this.#asked, reservation);
    this.#race.start(run);
    this.#ask(run);
  }

  #ask(run: Run): void {
    const { ahead, clock, outgoing, routers } = this.#deps;
    const history = this.#history;
    const router = outgoing.isConnected ? routers.next() : undefined;
    if (router === undefined || ++history.questions > MAX_QUESTIONS) return this.#onUnaskable(run);
    const beside = this.#race.beside(run)?.seen?.placed;
    const tried = beside === undefined ? history.tried : history.triedBeside(beside);
    const { nameKey: name } = this.#request;
    // What is right after a failure is not so for other requests.
    const slotsAhead = tried.length > 0 || name === undefined ? 0 : ahead.wanted(name, clock.now());
    const isContinuation = this.#shown !== undefined;
    const { waitedMs, queueMs: queuedMs } = history;
    run.ask(router, envelopeOf(this.#asked, tried, slotsAhead, { waitedMs, queuedMs, isContinuation }));
  }

  #onUnaskable(run: Run): void {
    run.giveUp('router_unavailable');
    if (this.#race.goOnWithout(run)) return;
    const { lastFailure, questions } = this.#history;
    if (questions > MAX_QUESTIONS && lastFailure !== undefined)
      return this.#endWith(this.#shown?.failure ?? lastFailure);
    const isBrokerAway = !this.#deps.outgoing.isConnected;
    const code = isBrokerAway ? 'broker_unavailable' : 'router_unavailable';
    const what = isBrokerAway ? 'The message broker is away.' : 'No router answers.';
    this.#endWith(new GatewayError(code, what, { retryAfterMs: 1_000 }));
  }

  #submit(run: Run, placed: Placed): void {
    const { metrics, routes } = this.#deps;
    const { downgradedTo, timeoutMs, hedgeAfterMs } = placed;
    this.#placed = placed;
    if (downgradedTo !== undefined) this.#terms = routes.termsOf(this.#request, downgradedTo);
    if (timeoutMs !== undefined) this.#deadline = Math.min(this.#deadline, this.#request.receivedAt + timeoutMs);
    const isRetry = this.#history.failures.length > 0 && !this.#race.isSecond(run);
    if (isRetry) metrics.retries.inc({ route: this.#terms.label });
    const continues = this.#shown?.continuation?.continues;
    const attempt = this.#history.begin(placed);
    const account = this.#accountAt(placed);
    const outputBound = this.#outputBound(placed);
    const { creditBytes } = this.#relay;
    const { earlier } = this.#history;
    const terms = { attempt, deadline: this.#deadline, creditBytes, continues, earlier, account, outputBound };
    run.submit(placed, terms);
    if (hedgeAfterMs !== undefined && this.#terms.hedges !== undefined && this.#shown === undefined)
      this.#race.whenSlow(hedgeAfterMs, () => this.#hedge());
  }

  /** The budgets that it was admitted under pay for it, also where its router has another route serve it. */
  #accountAt({ downgradedTo }: Placed): Account | undefined {
    const { account, route: routeScope } = this.#admitted;
    return account === undefined || downgradedTo === undefined ? account : { ...account, routeScope };
  }

  /** What the reservation covers at this deployment, where there is one; undefined: the provider is told what the client said. */
  #outputBound({ deployment: id }: Placed): OutputBound | undefined {
    const { cover, outputLimitsAt } = this.#admitted;
    const deployment = cover === undefined ? undefined : this.#deps.catalog.deployment(id);
    if (deployment === undefined) return undefined;
    const rest = this.#shown?.continuation?.request;
    const at = (rest === undefined ? outputLimitsAt : locateOutputLimits(rest)) ?? {};
    return boundToTell(deployment, this.#asked, at);
  }

  /** The first token is late: a second attempt may begin elsewhere, beside the first. */
  #hedge(): void {
    const { policy, hedges } = this.#terms;
    const { attempts, costNanoUsd } = this.#history;
    const isAffordable = attempts < policy.maxAttempts && costNanoUsd < (policy.maxCostNanoUsd ?? Infinity);
    if (this.#isOver || !isAffordable || hedges === undefined) return;
    const { cover } = this.#admitted;
    const reservation = cover?.next();
    // Only where its budgets pay for it at once: a hedge that waits is none.
    if (cover !== undefined && reservation === undefined) return;
    if (!hedges.tryWithdraw(this.#deps.clock.now())) return reservation?.release();
    const run = new Run(this.#deps, this, this.#request, reservation);
    this.#race.startHedge(run);
    this.#ask(run);
  }

  /** This one is the first to show something, so it is the answer. */
  #choose(run: Run): void {
    const loser = this.#race.win(run);
    this.#placed = run.seen?.placed;
    if (loser === undefined) return;
    loser.giveUp('hedge_lost');
    this.#history.costNanoUsd += loser.costNanoUsd;
  }

  /** The request, or what is left to ask of it. */
  get #asked(): AdmittedRequest {
    return this.#shown?.continuation?.request ?? this.#request;
  }

  /** Names in the stream who goes on with it, and why. */
  #showSeam({ failure }: ShownStream): void {
    const deployment = toHeaderValue(this.#placed?.deployment ?? '');
    this.onData(Buffer.from(`: sluice continued by ${deployment} after ${failure?.code ?? ''}\n\n`));
    this.#deps.metrics.streamContinuations.inc();
  }

  #endWith(error: GatewayError): void {
    if (this.#isOver) return;
    this.#race.giveUp(error.code);
    this.#relay.fail(error, progressHeaders(this.#progress()));
    if (error.code === 'internal')
      this.#deps.log.error({ requestId: this.#request.id, err: error.cause }, 'internal error');
    this.#over(error.code, providersVerdict(error)?.status ?? error.policy.status);
  }

  #onClientGone(): void {
    if (this.#isOver) return;
    this.#race.giveUp('client_closed_request');
    this.#relay.destroy();
    this.#over('client_closed_request', 499);
  }

  #progress(): Progress {
    const { attempts, queueMs, failures } = this.#history;
    const { isHedged } = this.#race;
    const { id: requestId, servedAs } = this.#request;
    const { headers: limits } = this.#admitted;
    return { requestId, placed: this.#placed, attempts, queueMs, failures, isHedged, servedAs, limits };
  }

  #over(error: ErrorCode | null, status: number, end?: AttemptEnd): void {
    if (this.#isOver) return;
    this.#isOver = true;
    this.#shown?.end();
    this.#admitted.over(this.#used);
    const { clock, log, metrics } = this.#deps;
    const { id, principal, model, endpoint, stream, receivedAt } = this.#request;
    const durationMs = clock.now() - receivedAt;
    metrics.requestEnded(endpoint, status, error, durationMs);
    const { isHedged, hedgeWon } = this.#race;
    if (isHedged) metrics.hedges.inc({ route: this.#terms.label, won: String(hedgeWon) });
    log.info({
      requestId: id,
      keyName: principal.keyName,
      endpoint,
      model,
      stream,
      deployment: this.#placed?.deployment,
      attempts: this.#history.attempts,
      status,
      code: error ?? undefined,
      durationMs: Math.round(durationMs),
      ttftMs: end?.ttftMs ?? undefined,
      outputTokens: end?.usage.outputTokens,
    });
    this.#onOver();
  }
}
