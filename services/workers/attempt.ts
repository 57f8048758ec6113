import type { Deployment } from '../../shared/catalog.ts';
import type { Clock, Millis } from '../../shared/clock.ts';
import type { TimeoutsConfig } from '../../shared/config.ts';
import type { ErrorCode } from '../../shared/errors.ts';
import { GatewayError } from '../../shared/errors.ts';
import type { UsageJournal } from '../../shared/journal.ts';
import type { Log } from '../../shared/log.ts';
import type { AttemptEnd, ResponseHead } from '../../shared/messages/attempt.ts';
import type { TaskHead } from '../../shared/messages/task.ts';
import { estimateInputTokens } from '../../shared/tokens.ts';
import type { AttemptAccount } from './core/account.ts';
import { endOf, usageEvent } from './core/account.ts';
import { redactCredential } from './core/redact-credential.ts';
import { TimeLimits } from './core/time-limits.ts';
import type { Ending } from './core/verdict.ts';
import { visibleHeaders } from './core/visible-headers.ts';
import type { Dialect, StreamReader } from './dialects/dialect.ts';
import type { LateAccounts } from './late-accounts.ts';
import type { ReceivedTask } from './assemble.ts';
import type { OpenNotes } from './open-notes.ts';
import type { FrameSender } from './send-frames.ts';
import type { Upstream, UpstreamCall, UpstreamHeaders, UpstreamListener } from './upstream.ts';

/** A plain answer beyond this is refused: the bound on what one attempt may hold. */
const MAX_ANSWER_BYTES = 64 * 1024 * 1024;
/** Of an error's body only the beginning can matter. */
const MAX_ERROR_BYTES = 64 * 1024;
/** Chunks without content (roles, comments) are held back up to here, so that another deployment may still take over. */
const MAX_HELD_BYTES = 256 * 1024;
/** A plain answer up to here leaves in one frame. */
const MAX_WHOLE_BYTES = 128 * 1024;
/** A longer request is not kept to be counted, if its stream is left: its tokens are estimated. */
const MAX_COUNTED_BYTES = 16 * 1024;
/** After its end mark a provider has this long to end its answer; then its connection is closed rather than reused. */
const LINGER_MS = 1_000;

/** What one provider's attempts share. */
export interface Backend {
  readonly dialect: Dialect;
  readonly upstream: Upstream;
  readonly timeouts: TimeoutsConfig;
  /** The credential, to be struck out of any text that quotes it. */
  readonly secret: string | undefined;
}

/** Who is told how the provider does: exactly one end, whatever happens. */
export interface CallObserver {
  /** An answer's headers came, of whatever status. */
  answered(headers: UpstreamHeaders): void;
  /** The first content token of a stream, or the whole plain answer. */
  began(): void;
  ended(ending: Ending, usedTokens: number): void;
}

export interface AttemptDeps {
  readonly clock: Clock;
  readonly log: Log;
  readonly journal: UsageJournal;
  readonly late: Pick<LateAccounts, 'record'>;
  readonly notes: Pick<OpenNotes, 'opened' | 'ended'>;
  readonly workerId: string;
  readonly ingressId: string;
  readonly backend: Backend;
  readonly deployment: Deployment;
  readonly observer: CallObserver;
  /** The attempt ended, in whichever way; its slot is free. Called once. */
  readonly onOver: (attempt: Attempt) => void;
}

type Phase =
  | { kind: 'waiting' }
  | { kind: 'error'; status: number; headers: UpstreamHeaders; parts: Buffer[]; bytes: number }
  | { kind: 'plain'; headers: UpstreamHeaders; parts: Buffer[]; bytes: number }
  | {
      kind: 'stream';
      headers: UpstreamHeaders;
      reader: StreamReader;
      held: Buffer[];
      heldBytes: number;
      isHeadSent: boolean;
    }
  | { kind: 'sending'; end: AttemptEnd; rest: Buffer }
  | { kind: 'over' };

/**
 * One attempt: calls the provider, turns its answer into frames, and ends exactly once, with exactly one usage event,
 * whatever happens. Before the first content token nothing is sent, so that a failure can still go elsewhere.
 */
export class Attempt implements UpstreamListener {
  readonly #deps: AttemptDeps;
  readonly #task: TaskHead;
  readonly #taskText: string;
  readonly #sender: FrameSender;
  readonly #startedAt: Millis;
  readonly #startedEpochMs: number;
  readonly #limits: TimeLimits;
  #call: UpstreamCall | undefined;
  #phase: Phase = { kind: 'waiting' };
  #status: number | null = null;
  #firstContentAt: Millis | undefined;
  /** The request as it came, where it may have to be counted. */
  #prompt: Buffer | undefined;
  /** The number of what says that it is under way; 0: the provider was never called. */
  #note = 0;
  #isPaused = false;
  #hasUpstreamEnded = false;

  constructor(deps: AttemptDeps, { head: task, text }: ReceivedTask, sender: FrameSender) {
    this.#deps = deps;
    this.#task = task;
    this.#taskText = text;
    this.#sender = sender;
    this.#startedAt = deps.clock.now();
    this.#startedEpochMs = deps.clock.epochMs();
    const deadline = this.#startedAt + task.deadlineEpochMs - this.#startedEpochMs;
    this.#limits = new TimeLimits(deps.backend.timeouts, task.stream, deadline, this.#startedAt);
  }

  get deployment(): string {
    return this.#deps.deployment.id;
  }

  /** @param body the request's bytes, as the client sent them, in as many parts as they came */
  start(body: readonly Buffer[]): void {
    const { dialect, upstream } = this.#deps.backend;
    // A copy: what came holds on to the whole message that it came in.
    if (this.#task.stream && this.#task.bodyBytes <= MAX_COUNTED_BYTES) this.#prompt = Buffer.concat(body);
    try {
      const request = dialect.encodeRequest(this.#task, body, this.#deps.deployment);
      this.#note = this.#deps.notes.opened(this.#taskText, this.#startedEpochMs, this.#deps.ingressId);
      this.#call = upstream.call(request, this.#task.traceparent, this);
    } catch (failure) {
      this.#fail(GatewayError.from(failure));
    }
  }

  /**
   * Ended from outside: the provider's connection closes now, and what was used is accounted for under `code`.
   * @param told what the ingress is told, when it is not the one who wants no more of it
   */
  cancel(code: ErrorCode, told?: GatewayError): void {
    const phase = this.#phase;
    if (phase.kind === 'over') return;
    this.#call?.abort();
    const end = this.#account();
    if (told !== undefined) this.#sender.failed(told, end.costNanoUsd);
    const isUntold = phase.kind === 'stream' && phase.reader.usage === undefined;
    this.#conclude(end, { code }, isUntold ? phase.reader : undefined);
  }

  /** The client took `bytes` more. */
  grant(bytes: number): void {
    this.#sender.grant(bytes);
    if (!this.#sender.hasCredit) return;
    if (this.#phase.kind === 'sending') this.#sendRest(this.#phase);
    else if (this.#isPaused) {
      this.#isPaused = false;
      this.#limits.progress(this.#deps.clock.now());
      this.#call?.resume();
    }
  }

  /** Ends the attempt when one of its time limits has passed. */
  check(now: Millis): void {
    if (this.#phase.kind === 'over') return;
    const exceeded = this.#limits.exceeded(now, this.#isPaused || this.#phase.kind === 'sending');
    if (exceeded === undefined) return;
    this.#call?.abort();
    this.#fail(exceeded);
  }

  onHeaders(status: number, headers: UpstreamHeaders): void {
    if (this.#phase.kind === 'over') return;
    this.#status = status;
    this.#deps.observer.answered(headers);
    if (status < 200 || status > 299) {
      this.#phase = { kind: 'error', status, headers, parts: [], bytes: 0 };
    } else if (!this.#task.stream) {
      this.#phase = { kind: 'plain', headers, parts: [], bytes: 0 };
    } else if (!String(headers['content-type']).startsWith('text/event-stream')) {
      this.#call?.abort();
      this.#fail(new GatewayError('upstream_malformed', 'The provider answered a stream with something that is none.'));
    } else {
      const reader = this.#deps.backend.dialect.readStream(this.#task);
      this.#phase = { kind: 'stream', headers, reader, held: [], heldBytes: 0, isHeadSent: false };
    }
  }

  onData(chunk: Buffer): void {
    const phase = this.#phase;
    switch (phase.kind) {
      case 'stream':
        return this.#streamData(phase, chunk);
      case 'plain':
        phase.parts.push(chunk);
        phase.bytes += chunk.length;
        if (phase.bytes > MAX_ANSWER_BYTES) {
          this.#call?.abort();
          this.#fail(new GatewayError('upstream_malformed', 'The provider’s answer is beyond every bound.'));
        }
        return;
      case 'error':
        if (phase.bytes < MAX_ERROR_BYTES) phase.parts.push(chunk);
        phase.bytes += chunk.length;
        return;
      case 'waiting':
      case 'sending':
      case 'over':
        return;
    }
  }

  onEnd(): void {
    this.#hasUpstreamEnded = true;
    const phase = this.#phase;
    if (phase.kind === 'error') this.#upstreamError(phase);
    else if (phase.kind === 'plain') this.#plainAnswer(phase.headers, phase.parts);
    else if (phase.kind === 'stream') this.#streamEnded(phase);
    else if (phase.kind === 'waiting')
      this.#fail(new GatewayError('upstream_malformed', 'The provider gave no answer.'));
  }

  onError(error: GatewayError): void {
    this.#hasUpstreamEnded = true;
    const phase = this.#phase;
    if (phase.kind === 'error') return this.#upstreamError(phase);
    if (phase.kind === 'over' || phase.kind === 'sending') return;
    const isCut = phase.kind !== 'waiting';
    this.#fail(
      isCut ? new GatewayError('upstream_cut_off', 'The provider’s answer broke off.', { cause: error }) : error,
    );
  }

  #streamEnded(phase: Phase & { kind: 'stream' }): void {
    const { reader } = phase;
    this.#read(phase, () => reader.end());
    this.#fail(new GatewayError('upstream_cut_off', `The provider’s stream ended without ${reader.missing}.`));
  }

  /** Lets the reader read, and passes on what it made of it; ends the attempt when that was the stream's end, or broken. */
  #read(phase: Phase & { kind: 'stream' }, read: () => void): void {
    let failure: unknown;
    try {
      read();
    } catch (thrown) {
      failure = thrown;
    }
    this.#forward(phase);
    if (failure !== undefined) {
      this.#call?.abort();
      this.#fail(GatewayError.from(failure));
    } else if (phase.reader.isComplete) {
      this.#completeStream(phase);
    }
  }

  #streamData(phase: Phase & { kind: 'stream' }, chunk: Buffer): void {
    this.#read(phase, () => phase.reader.push(chunk));
    if (this.#phase.kind === 'over') return;
    if (!this.#sender.hasCredit && !this.#isPaused) {
      this.#isPaused = true;
      this.#call?.pause();
    }
  }

  /** Sends what the reader made, or holds it while nothing in it is content. */
  #forward(phase: Phase & { kind: 'stream' }): void {
    const output = phase.reader.takeOutput();
    if (!phase.isHeadSent) {
      for (const part of output) phase.heldBytes += part.length;
      phase.held.push(...output);
      if (!phase.reader.hasContent && phase.heldBytes <= MAX_HELD_BYTES) return;
      phase.isHeadSent = true;
      this.#begin();
      this.#sender.head(this.#responseHead(phase.headers, 'text/event-stream; charset=utf-8'));
      this.#sender.data(phase.reader.outputTokensSoFar, phase.held);
      phase.held = [];
      return;
    }
    this.#limits.progress(this.#deps.clock.now());
    if (output.length > 0) this.#sender.data(phase.reader.outputTokensSoFar, output);
  }

  #begin(): void {
    this.#limits.progress((this.#firstContentAt = this.#deps.clock.now()));
    this.#deps.observer.began();
  }

  #completeStream(phase: Phase & { kind: 'stream' }): void {
    const end = this.#account(phase.reader);
    this.#sender.end(end);
    this.#conclude(end, { code: null });
    if (this.#hasUpstreamEnded) return;
    const call = this.#call;
    setTimeout(() => {
      if (!this.#hasUpstreamEnded) call?.abort();
    }, LINGER_MS).unref();
  }

  #plainAnswer(headers: UpstreamHeaders, parts: readonly Buffer[]): void {
    const { dialect } = this.#deps.backend;
    let answer;
    try {
      answer = dialect.readAnswer(this.#task, parts.length === 1 ? (parts[0] as Buffer) : Buffer.concat(parts));
    } catch (failure) {
      return this.#fail(GatewayError.from(failure));
    }
    this.#begin();
    const end = this.#account({ usage: answer.usage, outputTokensSoFar: 0, finish: answer.finish });
    const bodyBytes = answer.body.reduce((sum, part) => sum + part.length, 0);
    const head = this.#responseHead(headers, 'application/json', { bodyBytes, end });
    if (bodyBytes <= MAX_WHOLE_BYTES) {
      this.#sender.whole(head, answer.body);
      this.#conclude(end, { code: null });
    } else {
      this.#sender.head(head);
      const phase: Phase = { kind: 'sending', end, rest: Buffer.concat(answer.body) };
      this.#phase = phase;
      this.#sendRest(phase);
    }
  }

  /** A large plain answer leaves as its client takes it. */
  #sendRest(phase: Phase & { kind: 'sending' }): void {
    while (phase.rest.length > 0 && this.#sender.hasCredit) {
      this.#sender.data(phase.end.usage.outputTokens, [phase.rest.subarray(0, MAX_WHOLE_BYTES)]);
      phase.rest = phase.rest.subarray(MAX_WHOLE_BYTES);
    }
    if (phase.rest.length > 0) return;
    this.#sender.end(phase.end);
    this.#conclude(phase.end, { code: null });
  }

  #upstreamError({ status, headers, parts }: Phase & { kind: 'error' }): void {
    this.#fail(this.#deps.backend.dialect.readError(status, headers, Buffer.concat(parts), this.#deps.clock.epochMs()));
  }

  #fail(error: GatewayError): void {
    if (this.#phase.kind === 'over') return;
    const told = redactCredential(error, this.#deps.backend.secret);
    if (told.cause !== undefined)
      this.#deps.log.debug({ requestId: this.#task.id, code: told.code, err: told.cause }, 'attempt failed');
    const end = this.#account();
    this.#sender.failed(told, end.costNanoUsd);
    this.#conclude(end, told);
  }

  /**
   * The one way out: the account is written and the slot is free.
   * @param untold a stream of which the provider has not told what it used: that is counted first
   */
  #conclude(end: AttemptEnd, ending: Ending, untold?: StreamReader): void {
    if (this.#phase.kind === 'over') return;
    this.#phase = { kind: 'over' };
    const { journal, late, notes, workerId, ingressId, deployment, observer, onOver } = this.#deps;
    const context = {
      startedEpochMs: this.#startedEpochMs,
      upstreamStatus: this.#status,
      error: ending.code,
      worker: workerId,
      ingress: ingressId,
    };
    const [task, note] = [this.#task, this.#note];
    if (untold === undefined) {
      journal.record(usageEvent(task, deployment, end, context), () => notes.ended(note));
    } else {
      const account = this.#accountOf(untold, end.durationMs);
      late.record(note, { prompt: this.#prompt, said: untold.said }, (counted) =>
        usageEvent(task, deployment, endOf(task, deployment, { ...account, counted }), context),
      );
    }
    observer.ended(ending, end.usage.inputTokens + end.usage.outputTokens);
    onOver(this);
  }

  #account(read: Pick<StreamReader, 'usage' | 'outputTokensSoFar' | 'finish'> = this.#readSoFar()): AttemptEnd {
    return endOf(this.#task, this.#deps.deployment, this.#accountOf(read, this.#deps.clock.now() - this.#startedAt));
  }

  #accountOf(
    { usage, outputTokensSoFar, finish }: Pick<StreamReader, 'usage' | 'outputTokensSoFar' | 'finish'>,
    durationMs: number,
  ): AttemptAccount {
    const hasBegun = this.#status !== null && this.#status >= 200 && this.#status <= 299;
    const ttftMs = this.#firstContentAt === undefined ? null : this.#firstContentAt - this.#startedAt;
    return { startedEpochMs: this.#startedEpochMs, durationMs, ttftMs, usage, hasBegun, outputTokensSoFar, finish };
  }

  #readSoFar(): Pick<StreamReader, 'usage' | 'outputTokensSoFar' | 'finish'> {
    const phase = this.#phase;
    if (phase.kind === 'stream') return phase.reader;
    if (phase.kind === 'sending') return { usage: phase.end.usage, outputTokensSoFar: 0, finish: phase.end.finish };
    return { usage: undefined, outputTokensSoFar: 0, finish: null };
  }

  #responseHead(headers: UpstreamHeaders, contentType: string, plain?: ResponseHead['plain']): ResponseHead {
    return {
      contentType,
      headers: visibleHeaders(headers),
      inputTokensEstimate: estimateInputTokens(this.#task),
      ...(plain === undefined ? {} : { plain }),
    };
  }
}
