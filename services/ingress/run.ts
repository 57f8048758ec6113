import { decode } from '../../shared/bus.ts';
import type { Clock, Millis } from '../../shared/clock.ts';
import type { ErrorCode } from '../../shared/errors.ts';
import { GatewayError } from '../../shared/errors.ts';
import type { Account } from '../../shared/messages/account.ts';
import { AttemptEnd, AttemptFailed, ResponseHead } from '../../shared/messages/attempt.ts';
import type { Envelope } from '../../shared/messages/envelope.ts';
import { Placed, Refused, Waiting } from '../../shared/messages/envelope.ts';
import { FrameType, PoisonedMessage, readNumber, splitHead } from '../../shared/messages/frame.ts';
import type { Reservation } from './budgets/reservation.ts';
import { taskOf } from './core/asking.ts';
import type { TaskTerms } from './core/asking.ts';
import type { Inbox, StreamOwner } from './inbox.ts';
import type { Outgoing } from './outgoing.ts';
import type { AdmittedRequest } from './request.ts';
import type { Uploads } from './uploads.ts';
import type { SeenAttempt, Witness } from './witness.ts';
import type { WorkerWatch } from './worker-watch.ts';

/** A router answers within a turn, if only "wait"; one that does not is hung or lost the question. */
const ANSWER_WITHIN_MS = 750;

export interface RunDeps {
  readonly clock: Clock;
  readonly inbox: Inbox;
  readonly outgoing: Outgoing;
  readonly workers: WorkerWatch;
  readonly uploads: Uploads;
  readonly witness: Witness;
}

/** Who has the request that a run is made for. After `onEnd`, `onFailed` and `onBroken` the run is over. */
export interface RunOwner {
  /** A router promised a place; `run.submit` takes it. */
  onPlaced(run: Run, placed: Placed): void;
  /** It stands in line at a router. */
  onWaiting(run: Run): void;
  onRefused(run: Run, refused: Refused): void;
  /** The router that was asked is gone, or silent for too long. */
  onUnanswered(run: Run, waitedMs: Millis): void;
  /** The answer begins. */
  onHead(run: Run, head: ResponseHead): void;
  onData(bytes: Buffer): void;
  /** A plain answer, whole. `onEnd` follows. */
  onWhole(run: Run, head: ResponseHead, body: Buffer): void;
  onEnd(seen: SeenAttempt, end: AttemptEnd): void;
  /** What the run used, before it is said how it ended; an estimate, where it did not come to its end. */
  onUsed(tokens: number, costNanoUsd: number): void;
  /** The attempt failed, or was lost with its worker. */
  onFailed(run: Run, seen: SeenAttempt, failure: GatewayError): void;
  /** What came cannot be read, or a part of it is missing. */
  onBroken(run: Run, failure: GatewayError): void;
}

type State =
  | { kind: 'idle' }
  | { kind: 'asking'; stream: number; router: string; since: Millis }
  | { kind: 'waiting'; stream: number; router: string; since: Millis }
  | { kind: 'running'; stream: number; seen: SeenAttempt; nextSequence: number }
  | { kind: 'over' };

const IDLE: State = { kind: 'idle' };
const OVER: State = { kind: 'over' };

/**
 * One attempt as its ingress sees it: asks a router where, gives the task to that worker, and tells its owner what comes
 * of it. It ends once; what a worker still sends then finds nobody.
 */
export class Run implements StreamOwner {
  readonly #deps: RunDeps;
  readonly #owner: RunOwner;
  readonly #request: AdmittedRequest;
  readonly #reservation: Reservation | undefined;
  #state: State = IDLE;
  #seen: SeenAttempt | undefined;
  #hasHead = false;
  #costNanoUsd = 0;
  #isAttempt = true;

  /** @param reservation pays for it, and is settled when it ends, however it ends; undefined: no hard budget does */
  constructor(deps: RunDeps, owner: RunOwner, request: AdmittedRequest, reservation: Reservation | undefined) {
    this.#deps = deps;
    this.#owner = owner;
    this.#request = request;
    this.#reservation = reservation;
  }

  /** undefined until the task was sent. */
  get seen(): SeenAttempt | undefined {
    return this.#seen;
  }

  /** Something of its answer came: no other attempt may take over unseen. */
  get hasHead(): boolean {
    return this.#hasHead;
  }

  /** Of an attempt that failed or was given up, as far as it is known. */
  get costNanoUsd(): number {
    return this.#costNanoUsd;
  }

  /** false: the worker declined the task, and called nobody. */
  get isAttempt(): boolean {
    return this.#isAttempt;
  }

  ask(router: string, envelope: Envelope): void {
    const { clock, inbox, outgoing } = this.#deps;
    const stream = inbox.open(this);
    this.#state = { kind: 'asking', stream, router, since: clock.now() };
    outgoing.ask(router, stream, envelope);
  }

  /** Gives the task to the worker of this place: one that `onPlaced` told, or that was promised ahead. */
  submit(placed: Placed, terms: Omit<TaskTerms, 'deadlineEpochMs'> & { deadline: Millis }): void {
    const { clock, inbox, outgoing, workers } = this.#deps;
    const state = this.#state;
    const stream = state.kind === 'asking' || state.kind === 'waiting' ? state.stream : inbox.open(this);
    const startedAt = clock.now();
    const startedEpochMs = clock.epochMs();
    const deadlineEpochMs = startedEpochMs + Math.round(terms.deadline - startedAt);
    const account = accountWith(terms.account, this.#reservation);
    const task = taskOf(this.#request, placed, { ...terms, account, deadlineEpochMs });
    const seen: SeenAttempt = {
      task,
      placed,
      startedEpochMs,
      startedAt,
      ttftMs: null,
      inputTokensEstimate: 0,
      outputTokensSoFar: 0,
    };
    this.#seen = seen;
    this.#state = { kind: 'running', stream, seen, nextSequence: 0 };
    workers.began(placed.worker);
    outgoing.open(placed.worker, stream, task, this.#request.body);
  }

  /** The client has taken `bytes` more of this attempt's answer. */
  grant(bytes: number): void {
    if (this.#state.kind === 'running')
      this.#deps.outgoing.credit(this.#state.seen.placed.worker, this.#state.stream, bytes);
  }

  /** Leaves whoever works or holds a place for it. */
  giveUp(code: ErrorCode): void {
    const state = this.#state;
    if (state.kind === 'asking' || state.kind === 'waiting') {
      this.#deps.outgoing.abandon(state.router, state.stream);
      this.#deps.inbox.close(state.stream);
      this.#state = OVER;
      this.#reservation?.release();
    } else if (state.kind === 'running') {
      this.#deps.outgoing.cancel(state.seen.placed.worker, state.stream, code);
      this.#endUnheard(state.seen, this.#deps.witness.failed(state.seen, code));
      this.#leaveWorker(state);
    } else {
      this.#state = OVER;
      this.#reservation?.release();
    }
  }

  /** Looks at the clock: a silent router. */
  check(now: Millis): void {
    const state = this.#state;
    if (state.kind !== 'asking' || now - state.since <= ANSWER_WITHIN_MS) return;
    this.#deps.outgoing.abandon(state.router, state.stream);
    this.#unanswered(state);
  }

  /** Nobody listens at this worker or router any more, or it has been silent for too long. */
  onPeerGone(peer: string): void {
    const state = this.#state;
    if (state.kind === 'running' && state.seen.placed.worker === peer) {
      this.#endUnheard(state.seen, this.#deps.witness.lost(state.seen, 'worker_lost'));
      // One that only hangs finds this right behind the task, once it goes on: nobody waits for the answer any more.
      this.#deps.outgoing.cancel(peer, state.stream, 'worker_lost');
      this.#leaveWorker(state);
      const failure = new GatewayError('worker_lost', 'The worker that served the request was lost.');
      this.#owner.onFailed(this, state.seen, failure);
    } else if ((state.kind === 'asking' || state.kind === 'waiting') && state.router === peer) {
      this.#unanswered(state);
    }
  }

  /** The connection to the broker is gone, and everything that was on its way. The owner knows. */
  onBrokerGone(): void {
    const state = this.#state;
    if (state.kind === 'running') {
      this.#endUnheard(state.seen, this.#deps.witness.lost(state.seen, 'broker_unavailable'));
      this.#leaveWorker(state);
    } else {
      this.giveUp('broker_unavailable');
    }
  }

  /** @throws PoisonedMessage */
  onFrame(type: number, sequence: number, payload: Buffer): void {
    const state = this.#state;
    if (state.kind === 'running') return this.#onWorkerFrame(state, type, sequence, payload);
    if (state.kind !== 'asking' && state.kind !== 'waiting') return;
    if (type === FrameType.placed) return this.#owner.onPlaced(this, decode(Placed, payload));
    if (type === FrameType.refused) {
      const refused = decode(Refused, payload);
      this.#deps.inbox.close(state.stream);
      this.#state = OVER;
      this.#reservation?.release();
      return this.#owner.onRefused(this, refused);
    }
    if (type !== FrameType.waiting || state.kind !== 'asking') return;
    const { stream, since } = state;
    this.#state = { kind: 'waiting', stream, router: decode(Waiting, payload).router, since };
    this.#owner.onWaiting(this);
  }

  /** A frame could not be carried out: it breaks its contract, or we have a bug. Without it the rest would pass for a whole answer. */
  onBrokenFrame(cause: unknown): void {
    const isPoisoned = cause instanceof PoisonedMessage;
    this.#broken(
      isPoisoned
        ? new GatewayError('stream_gap', 'A part of the answer could not be read inside the gateway.')
        : GatewayError.from(cause),
    );
  }

  #onWorkerFrame(state: State & { kind: 'running' }, type: number, sequence: number, payload: Buffer): void {
    if (type === FrameType.taken) return this.#deps.uploads.onTaken(state.stream, readNumber(payload));
    // What a router still says of a question that was answered.
    if (type === FrameType.placed || type === FrameType.waiting) return;
    if (type === FrameType.refused) return void decode(Refused, payload);
    if (sequence !== state.nextSequence) {
      // The broker lost a message between them (a reconnect): what follows does not belong to what was sent.
      return this.#broken(new GatewayError('stream_gap', 'A part of the answer was lost inside the gateway.'));
    }
    state.nextSequence++;
    this.#deps.workers.heard(state.seen.placed.worker);
    const mustFollowHead = type === FrameType.data || type === FrameType.end;
    if (mustFollowHead && !this.#hasHead) throw new PoisonedMessage('an answer without its head');
    switch (type) {
      case FrameType.whole:
        return this.#onWhole(state, payload);
      case FrameType.head:
        return this.#owner.onHead(this, this.#noteHead(state, decode(ResponseHead, payload)));
      case FrameType.data:
        state.seen.outputTokensSoFar = readNumber(payload);
        return this.#owner.onData(payload.subarray(4));
      case FrameType.end:
        return this.#complete(state, decode(AttemptEnd, payload));
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
    this.#owner.onWhole(this, this.#noteHead(state, head), body);
    this.#complete(state, head.plain.end);
  }

  #noteHead(state: State & { kind: 'running' }, head: ResponseHead): ResponseHead {
    this.#hasHead = true;
    state.seen.inputTokensEstimate = head.inputTokensEstimate;
    state.seen.ttftMs = Math.round(this.#deps.clock.now() - state.seen.startedAt);
    return head;
  }

  #complete(state: State & { kind: 'running' }, end: AttemptEnd): void {
    this.#deps.witness.ended(state.seen, end, null);
    const { usage, costNanoUsd } = end;
    this.#settle(usage.inputTokens + usage.outputTokens, costNanoUsd ?? 0);
    this.#leaveWorker(state);
    this.#owner.onEnd(state.seen, end);
  }

  #onFailed(state: State & { kind: 'running' }, { error, isDeclined, costNanoUsd }: AttemptFailed): void {
    const failure = GatewayError.fromWire(error);
    this.#isAttempt = isDeclined !== true;
    this.#costNanoUsd = costNanoUsd ?? 0;
    if (this.#isAttempt) this.#deps.witness.failed(state.seen, failure.code);
    this.#settle(tokensSeen(state.seen), this.#costNanoUsd);
    this.#leaveWorker(state);
    this.#owner.onFailed(this, state.seen, failure);
  }

  #broken(failure: GatewayError): void {
    if (this.#state === OVER) return;
    this.giveUp(failure.code);
    this.#owner.onBroken(this, failure);
  }

  #unanswered({ stream, since }: State & { kind: 'asking' | 'waiting' }): void {
    this.#deps.inbox.close(stream);
    this.#state = IDLE;
    this.#owner.onUnanswered(this, this.#deps.clock.now() - since);
  }

  /** @param costNanoUsd 0 also where no price is known: it costs no budget anything */
  #settle(tokens: number, costNanoUsd: number): void {
    this.#reservation?.settle(costNanoUsd);
    this.#owner.onUsed(tokens, costNanoUsd);
  }

  /** What it cost is only known in part: nobody is left to tell. */
  #endUnheard(seen: SeenAttempt, costNanoUsd: number): void {
    this.#costNanoUsd = costNanoUsd;
    this.#reservation?.settleSeen(costNanoUsd, seen.outputTokensSoFar);
    this.#owner.onUsed(tokensSeen(seen), costNanoUsd);
  }

  #leaveWorker({ stream, seen }: State & { kind: 'running' }): void {
    this.#deps.inbox.close(stream);
    this.#deps.uploads.end(stream);
    this.#deps.workers.ended(seen.placed.worker);
    this.#state = OVER;
  }
}

/** The account of one attempt: of the windows and leases that its reservation is from. */
function accountWith(account: Account | undefined, reservation: Reservation | undefined): Account | undefined {
  if (account === undefined || reservation === undefined) return account;
  const { epochMs: admittedEpochMs, quote, leaseIds: leases } = reservation;
  return { ...account, admittedEpochMs, reservedNanoUsd: quote.nanoUsd, leases };
}

function tokensSeen({ inputTokensEstimate, outputTokensSoFar }: SeenAttempt): number {
  return inputTokensEstimate + outputTokensSoFar;
}
