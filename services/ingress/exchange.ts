import type { ServerResponse } from 'node:http';
import { decode } from '../../shared/bus.ts';
import type { Clock, Millis } from '../../shared/clock.ts';
import type { ErrorCode } from '../../shared/errors.ts';
import { GatewayError } from '../../shared/errors.ts';
import type { Log } from '../../shared/log.ts';
import { AttemptEnd, AttemptFailed, ResponseHead } from '../../shared/messages/attempt.ts';
import type { Tried } from '../../shared/messages/envelope.ts';
import { Placed, Refused, Waiting } from '../../shared/messages/envelope.ts';
import { FrameType, PoisonedMessage, readNumber, splitHead } from '../../shared/messages/frame.ts';
import { envelopeOf, taskOf } from './core/asking.ts';
import type { SlotsAhead } from './core/slots-ahead.ts';
import type { HeaderList, Progress } from './core/response-headers.ts';
import { answerHeaders, progressHeaders, STREAM_HEADERS } from './core/response-headers.ts';
import type { Inbox, StreamOwner } from './inbox.ts';
import type { IngressMetrics } from './metrics.ts';
import type { Outgoing } from './outgoing.ts';
import { CREDIT_BYTES, Relay } from './relay.ts';
import type { AdmittedRequest } from './request.ts';
import type { Routers } from './routers.ts';
import type { Uploads } from './uploads.ts';
import type { SeenAttempt, Witness } from './witness.ts';
import type { WorkerWatch } from './worker-watch.ts';

/** Attempts that one request may make at providers. */
const MAX_ATTEMPTS = 8;
/** Questions to routers for one request; more than attempts, since a busy worker is no attempt. */
const MAX_QUESTIONS = 24;
/** A router answers within a turn, if only "wait"; one that does not is hung or lost the question. */
const ANSWER_WITHIN_MS = 750;
/** A client that takes nothing for this long is cut off. */
const CLIENT_STALL_MS = 30_000;

export interface ExchangeDeps {
  readonly clock: Clock;
  readonly log: Log;
  readonly inbox: Inbox;
  readonly outgoing: Outgoing;
  readonly ahead: SlotsAhead;
  readonly routers: Routers;
  readonly workers: WorkerWatch;
  readonly uploads: Uploads;
  readonly witness: Witness;
  readonly metrics: IngressMetrics;
  readonly keepAliveMs: number;
  readonly onOver: (exchange: Exchange) => void;
}

type State =
  /** With nobody: not asked for yet, or between two attempts. */
  | { kind: 'unplaced' }
  | { kind: 'asking'; stream: number; router: string; since: Millis }
  | { kind: 'waiting'; stream: number; router: string }
  | { kind: 'running'; stream: number; seen: SeenAttempt; nextSequence: number; head: ResponseHead | undefined }
  | { kind: 'over' };

/**
 * One request from its admission to its last byte: asks a router where, gives the task to that worker, relays the
 * answer; asks again, with the history, when an attempt fails before the first token. It ends exactly once.
 */
export class Exchange implements StreamOwner {
  readonly #deps: ExchangeDeps;
  readonly #request: AdmittedRequest;
  readonly #relay: Relay;
  readonly #tried: Tried[] = [];
  #state: State = { kind: 'unplaced' };
  #questions = 0;
  #attempts = 0;
  #queueMs = 0;
  #deployment: string | undefined;
  #lastFailure: GatewayError | undefined;
  #deadline: Millis;

  constructor(deps: ExchangeDeps, request: AdmittedRequest, response: ServerResponse) {
    this.#deps = deps;
    this.#request = request;
    this.#deadline = deps.clock.now() + request.deadlineEpochMs - deps.clock.epochMs();
    const onTaken = (bytes: number): void => this.#grant(bytes);
    this.#relay = new Relay({ response, isStream: request.stream, onTaken, now: deps.clock.now });
    response.on('close', () => this.#onClientGone());
  }

  /** Takes a place that was promised ahead, else asks a router for one. */
  start(): void {
    const { ahead, clock, inbox, outgoing, metrics } = this.#deps;
    const placed = outgoing.isConnected ? ahead.take(this.#request.model, clock.now()) : undefined;
    if (placed === undefined) return this.#ask();
    metrics.placedAhead.inc();
    this.#submit(inbox.open(this), placed);
  }

  /** A frame for the stream of this exchange. @throws PoisonedMessage */
  onFrame(type: number, sequence: number, payload: Buffer): void {
    const state = this.#state;
    switch (type) {
      case FrameType.placed:
        if (state.kind === 'asking' || state.kind === 'waiting') this.#onPlaced(state.stream, decode(Placed, payload));
        return;
      case FrameType.waiting:
        if (state.kind === 'asking')
          this.#state = { kind: 'waiting', stream: state.stream, router: decode(Waiting, payload).router };
        return;
      case FrameType.refused:
        return this.#onRefused(decode(Refused, payload));
      case FrameType.taken:
        if (state.kind === 'running') this.#deps.uploads.onTaken(state.stream, readNumber(payload));
        return;
      default:
        if (state.kind === 'running') this.#onWorkerFrame(state, type, sequence, payload);
    }
  }

  /** A frame could not be carried out: it breaks its contract, or we have a bug. Without it the rest would pass for a whole answer. */
  onBrokenFrame(cause: unknown): void {
    const isPoisoned = cause instanceof PoisonedMessage;
    this.#endWith(
      isPoisoned
        ? new GatewayError('stream_gap', 'A part of the answer could not be read inside the gateway.')
        : GatewayError.from(cause),
    );
  }

  /** Nobody listens at this worker or router any more, or it has been silent for too long. */
  onPeerGone(peer: string): void {
    const state = this.#state;
    if (state.kind === 'running' && state.seen.placed.worker === peer) {
      this.#deps.witness.lost(state.seen, 'worker_lost');
      // One that only hangs finds this right behind the task, once it goes on: nobody waits for the answer any more.
      this.#deps.outgoing.cancel(state.seen.placed.worker, state.stream, 'worker_lost');
      this.#attemptFailed(new GatewayError('worker_lost', 'The worker that served the request was lost.'), {
        isReported: true,
      });
    } else if ((state.kind === 'asking' || state.kind === 'waiting') && state.router === peer) {
      this.#askAgain();
    }
  }

  /** The connection to the broker is gone: every answer on its way is lost. */
  onBrokerGone(): void {
    const state = this.#state;
    if (state.kind === 'over') return;
    if (state.kind === 'running') this.#deps.witness.lost(state.seen, 'broker_unavailable');
    this.#endWith(new GatewayError('broker_unavailable', 'The message broker is away.', { retryAfterMs: 1_000 }), {
      isReported: true,
    });
  }

  /** This ingress ends, and has waited for as long as it may. */
  onShutdown(): void {
    this.#endWith(new GatewayError('shutting_down', 'This gateway is shutting down.', { retryAfterMs: 1_000 }));
  }

  /** Looks at the clock: deadline, silent router, stalled client, quiet stream. */
  check(now: Millis): void {
    const state = this.#state;
    if (state.kind === 'over') return;
    if (now >= this.#deadline) {
      return this.#endWith(
        new GatewayError('deadline_exceeded', 'The request’s deadline came before its answer was complete.'),
      );
    }
    if (this.#relay.blockedFor(now) > CLIENT_STALL_MS) {
      this.#giveUp('client_too_slow');
      this.#relay.destroy();
      return this.#over('client_too_slow', 408);
    }
    if (state.kind === 'asking' && now - state.since > ANSWER_WITHIN_MS) {
      this.#deps.outgoing.abandon(state.router, state.stream);
      return this.#askAgain();
    }
    if (this.#relay.silentFor(now) >= this.#deps.keepAliveMs)
      this.#relay.keepAlive({ ...STREAM_HEADERS, ...progressHeaders(this.#progress()) });
  }

  #ask(): void {
    const { ahead, clock, inbox, outgoing, routers } = this.#deps;
    const router = outgoing.isConnected ? routers.next() : undefined;
    if (router === undefined || ++this.#questions > MAX_QUESTIONS) {
      const code = !outgoing.isConnected ? 'broker_unavailable' : 'router_unavailable';
      const what = code === 'broker_unavailable' ? 'The message broker is away.' : 'No router answers.';
      return this.#endWith(
        this.#questions > MAX_QUESTIONS && this.#lastFailure !== undefined
          ? this.#lastFailure
          : new GatewayError(code, what, { retryAfterMs: 1_000 }),
      );
    }
    const stream = inbox.open(this);
    const now = clock.now();
    this.#state = { kind: 'asking', stream, router, since: now };
    // What is right after a failure is not so for other requests.
    const slotsAhead = this.#tried.length > 0 ? 0 : ahead.wanted(this.#request.model, now);
    outgoing.ask(router, stream, envelopeOf(this.#request, this.#tried, slotsAhead));
  }

  #askAgain(): void {
    if (this.#state.kind === 'asking' || this.#state.kind === 'waiting') this.#deps.inbox.close(this.#state.stream);
    this.#state = { kind: 'unplaced' };
    this.#ask();
  }

  #onPlaced(stream: number, placed: Placed): void {
    const { ahead, clock, outgoing } = this.#deps;
    outgoing.giveBack(ahead.add(this.#request.model, placed, clock.now()));
    this.#submit(stream, placed);
  }

  #submit(stream: number, placed: Placed): void {
    const { clock, outgoing, workers } = this.#deps;
    const request = this.#request;
    const { id, principal, model, endpoint, stream: isStream, traceparent } = request;
    this.#attempts++;
    this.#queueMs += placed.queueMs;
    this.#deployment = placed.deployment;
    if (placed.timeoutMs !== undefined)
      this.#deadline = Math.min(this.#deadline, request.receivedAt + placed.timeoutMs);
    const now = clock.now();
    const startedEpochMs = clock.epochMs();
    const deadlineEpochMs = startedEpochMs + Math.round(this.#deadline - now);
    const task = taskOf(request, placed, { attempt: this.#attempts, deadlineEpochMs, creditBytes: CREDIT_BYTES });
    const seen: SeenAttempt = {
      request: { id, principal, model, endpoint, stream: isStream, traceparent },
      placed,
      attempt: this.#attempts,
      startedEpochMs,
      startedAt: now,
      ttftMs: null,
      inputTokensEstimate: 0,
      outputTokensSoFar: 0,
    };
    this.#state = { kind: 'running', stream, seen, nextSequence: 0, head: undefined };
    workers.began(placed.worker);
    outgoing.open(placed.worker, stream, task, request.body);
  }

  #onRefused({ error, isExhausted }: Refused): void {
    if (this.#state.kind !== 'asking' && this.#state.kind !== 'waiting') return;
    this.#endWith(isExhausted && this.#lastFailure !== undefined ? this.#lastFailure : GatewayError.fromWire(error));
  }

  #onWorkerFrame(state: State & { kind: 'running' }, type: number, sequence: number, payload: Buffer): void {
    if (sequence !== state.nextSequence) {
      // The broker lost a message between them (a reconnect): what follows does not belong to what was sent.
      return this.#endWith(new GatewayError('stream_gap', 'A part of the answer was lost inside the gateway.'));
    }
    state.nextSequence++;
    this.#deps.workers.heard(state.seen.placed.worker);
    const mustFollowHead = type === FrameType.data || type === FrameType.end;
    if (mustFollowHead && state.head === undefined) throw new PoisonedMessage('an answer without its head');
    switch (type) {
      case FrameType.whole:
        return this.#onWhole(state, payload);
      case FrameType.head:
        return this.#onHead(state, decode(ResponseHead, payload));
      case FrameType.data:
        state.seen.outputTokensSoFar = readNumber(payload);
        return this.#relay.data(payload.subarray(4));
      case FrameType.end:
        return this.#onEnd(state, decode(AttemptEnd, payload));
      case FrameType.failed:
        return this.#onFailed(state, decode(AttemptFailed, payload));
      default:
        throw new PoisonedMessage(`an ingress takes no frame of type ${type}`);
    }
  }

  #onWhole(state: State & { kind: 'running' }, payload: Buffer): void {
    const { head: headBytes, body } = splitHead(payload);
    const head = decode(ResponseHead, headBytes);
    if (head.plain === undefined) throw new PoisonedMessage('a whole answer without its end');
    this.#noteHead(state, head);
    this.#relay.whole(this.#answerHeaders(head), body);
    this.#complete(state, head.plain.end);
  }

  #onHead(state: State & { kind: 'running' }, head: ResponseHead): void {
    this.#noteHead(state, head);
    this.#relay.begin(this.#answerHeaders(head), head.plain?.bodyBytes);
  }

  #noteHead(state: State & { kind: 'running' }, head: ResponseHead): void {
    state.head = head;
    state.seen.inputTokensEstimate = head.inputTokensEstimate;
    state.seen.ttftMs = Math.round(this.#deps.clock.now() - state.seen.startedAt);
  }

  #onEnd(state: State & { kind: 'running' }, end: AttemptEnd): void {
    this.#relay.end();
    this.#complete(state, end);
  }

  #complete(state: State & { kind: 'running' }, end: AttemptEnd): void {
    this.#deps.witness.ended(state.seen, end, null);
    this.#deps.metrics.attemptEnded(this.#request, state.seen.placed, end);
    this.#leaveWorker(state);
    this.#over(null, 200, end);
  }

  #onFailed(state: State & { kind: 'running' }, { error }: AttemptFailed): void {
    const failure = GatewayError.fromWire(error);
    if (failure.code === 'worker_busy') this.#attempts--;
    else this.#deps.witness.failed(state.seen, failure.code);
    this.#attemptFailed(failure, { isReported: true });
  }

  /** An attempt ended without an answer: elsewhere if that may help and nothing of it was shown, else the client is told. */
  #attemptFailed(failure: GatewayError, { isReported }: { isReported: boolean }): void {
    const state = this.#state;
    if (state.kind !== 'running') return;
    const { placed } = state.seen;
    this.#deps.metrics.attemptFailed(placed, failure.code);
    const hasShown = state.head !== undefined;
    if (hasShown || failure.policy.retry !== 'elsewhere' || this.#attempts >= MAX_ATTEMPTS)
      return this.#endWith(failure, { isReported });
    this.#leaveWorker(state);
    // When no router can be asked it ends here, and this attempt must not be left and reported a second time.
    this.#state = { kind: 'unplaced' };
    if (failure.code !== 'worker_busy') this.#lastFailure = failure;
    this.#tried.push({ deployment: placed.deployment, worker: placed.worker, code: failure.code });
    this.#ask();
  }

  #endWith(error: GatewayError, { isReported = false } = {}): void {
    if (this.#state.kind === 'over') return;
    this.#giveUp(error.code, isReported);
    const isSaid =
      error.upstream !== undefined && (error.code === 'upstream_rejected' || error.code === 'upstream_throttled');
    this.#relay.fail(error, progressHeaders(this.#progress()));
    if (error.code === 'internal')
      this.#deps.log.error({ requestId: this.#request.id, err: error.cause }, 'internal error');
    this.#over(error.code, isSaid ? (error.upstream?.status ?? error.policy.status) : error.policy.status);
  }

  #onClientGone(): void {
    if (this.#state.kind === 'over') return;
    this.#giveUp('client_closed_request');
    this.#relay.destroy();
    this.#over('client_closed_request', 499);
  }

  /** Leaves whoever works or holds a place for this request. `isReported`: the worker knows of the end already. */
  #giveUp(code: ErrorCode, isReported = false): void {
    const state = this.#state;
    if (state.kind === 'asking' || state.kind === 'waiting') {
      this.#deps.outgoing.abandon(state.router, state.stream);
      this.#deps.inbox.close(state.stream);
    } else if (state.kind === 'running') {
      if (!isReported) {
        this.#deps.outgoing.cancel(state.seen.placed.worker, state.stream, code);
        this.#deps.witness.failed(state.seen, code);
      }
      this.#leaveWorker(state);
    }
  }

  #leaveWorker({ stream, seen }: { stream: number; seen: SeenAttempt }): void {
    this.#deps.inbox.close(stream);
    this.#deps.uploads.end(stream);
    this.#deps.workers.ended(seen.placed.worker);
  }

  #grant(bytes: number): void {
    const state = this.#state;
    if (state.kind === 'running') this.#deps.outgoing.credit(state.seen.placed.worker, state.stream, bytes);
  }

  #answerHeaders(head: ResponseHead): HeaderList {
    return answerHeaders(head, this.#request.stream, this.#progress());
  }

  #progress(): Progress {
    return {
      requestId: this.#request.id,
      deployment: this.#deployment,
      attempts: this.#attempts,
      queueMs: this.#queueMs,
    };
  }

  #over(error: ErrorCode | null, status: number, end?: AttemptEnd): void {
    if (this.#state.kind === 'over') return;
    this.#state = { kind: 'over' };
    const { clock, log, metrics, onOver } = this.#deps;
    const { id, principal, model, endpoint, stream, receivedAt } = this.#request;
    const durationMs = clock.now() - receivedAt;
    metrics.requestEnded(endpoint, status, error, durationMs);
    log.info({
      requestId: id,
      keyName: principal.keyName,
      endpoint,
      model,
      stream,
      deployment: this.#deployment,
      attempts: this.#attempts,
      status,
      code: error ?? undefined,
      durationMs: Math.round(durationMs),
      ttftMs: end?.ttftMs ?? undefined,
      outputTokens: end?.usage.outputTokens,
    });
    onOver(this);
  }
}
