import type { Bus } from '../../shared/bus.ts';
import { decode, decodeText } from '../../shared/bus.ts';
import type { Catalog, Deployment } from '../../shared/catalog.ts';
import { ChurnMap } from '../../shared/churn-map.ts';
import type { Clock, Millis } from '../../shared/clock.ts';
import type { ErrorCode } from '../../shared/errors.ts';
import { GatewayError, isErrorCode } from '../../shared/errors.ts';
import type { UsageJournal } from '../../shared/journal.ts';
import type { Log } from '../../shared/log.ts';
import { FrameType, PoisonedMessage, readNumber, splitHead } from '../../shared/messages/frame.ts';
import { SlotsReturned } from '../../shared/messages/slots.ts';
import { TaskHead } from '../../shared/messages/task.ts';
import { ingressOfInbox } from '../../shared/subjects.ts';
import type { Admissions, Refusal } from './admit.ts';
import { AdmittedCall } from './admit.ts';
import type { ReceivedTask } from './assemble.ts';
import { Assembly } from './assemble.ts';
import { Attempt } from './attempt.ts';
import type { LateAccounts } from './late-accounts.ts';
import type { OpenNotes } from './open-notes.ts';
import type { WorkerPool } from './pool.ts';
import { FrameSender } from './send-frames.ts';

/** An ingress pings the workers of its streams ten times a second; one that is silent for this long is gone. */
const INGRESS_SILENT_MS = 2_000;
const PART_SILENT_MS = 10_000;

/** A task that waits to be admitted; for Redis, a tenth of a second at most. */
interface Pending {
  readonly deployment: string;
  isCancelled: boolean;
}

/** An ingress that has attempts here. */
interface Ingress {
  readonly id: string;
  readonly inbox: string;
  readonly attempts: ChurnMap<Attempt>;
  readonly pending: Map<number, Pending>;
  heardAt: Millis;
}

/** A whole task, in a slot. */
interface Ready {
  readonly pool: WorkerPool;
  readonly ingress: Ingress;
  readonly stream: number;
  readonly task: ReceivedTask;
  readonly body: readonly Buffer[];
  readonly deployment: Deployment;
}

/** Why a task was not taken, for the metrics. */
export type DeclineReason = Refusal['reason'] | 'no_slot' | 'unknown_deployment';

export interface IntakeDeps {
  readonly bus: Bus;
  readonly clock: Clock;
  readonly log: Log;
  readonly journal: UsageJournal;
  readonly late: LateAccounts;
  readonly notes: OpenNotes;
  readonly catalog: Catalog;
  readonly workerId: string;
  readonly pools: ReadonlyMap<string, WorkerPool>;
  readonly admissions: Admissions;
  readonly onDeclined: (pool: string, reason: DeclineReason) => void;
}

/** Everything that ingresses send to this worker: tasks, the rest of their bodies, credit, cancellation. */
export class Intake {
  readonly #deps: IntakeDeps;
  readonly #ingresses = new Map<string, Ingress>();
  readonly #assembly = new Assembly();
  #live = 0;
  #isClosed = false;
  #onIdle: (() => void) | undefined;

  constructor(deps: IntakeDeps) {
    this.#deps = deps;
  }

  /** Attempts under way, and tasks that wait to be admitted. */
  get live(): number {
    return this.#live;
  }

  /** @throws PoisonedMessage */
  onFrame(type: number, stream: number, sequence: number, payload: Buffer, reply: string): void {
    if (type === FrameType.returned) return this.#onReturned(payload);
    if (reply === '') throw new PoisonedMessage('a frame of nobody: it names no reply');
    const ingress = this.#ingress(reply);
    switch (type) {
      case FrameType.open:
        return this.#onOpen(ingress, stream, payload);
      case FrameType.chunk:
        return this.#onChunk(ingress, stream, sequence, payload);
      case FrameType.credit:
        return ingress.attempts.get(stream)?.grant(readNumber(payload));
      case FrameType.cancel:
        return this.#onCancel(ingress, stream, payload.toString('latin1'));
      case FrameType.ping:
        return;
      default:
        throw new PoisonedMessage(`a worker takes no frame of type ${type}`);
    }
  }

  /** This worker itself was deaf for so long: nobody was silent in that time. */
  forgive(stalledMs: Millis): void {
    for (const ingress of this.#ingresses.values()) ingress.heardAt += stalledMs;
  }

  /** Checks every clock: of the attempts, of bodies that stopped coming, of ingresses that fell silent. */
  sweep(now: Millis): void {
    for (const [inbox, ingress] of this.#ingresses) {
      for (const attempt of ingress.attempts.values()) attempt.check(now);
      if (now - ingress.heardAt < INGRESS_SILENT_MS) continue;
      this.#cancelAll(ingress, 'client_closed_request');
      this.#ingresses.delete(inbox);
    }
    for (const { key, head } of this.#assembly.dropSilent(now, PART_SILENT_MS)) {
      this.#deps.pools.get(head.pool)?.release();
      const { inbox, stream } = ofPartKey(key);
      this.#sayDeclined(inbox, stream, partsLost());
    }
  }

  /**
   * Ends every attempt: its frames reach nobody any more, or the process must end. The ingresses are told, if the
   * broker is there.
   */
  abortAll(code: ErrorCode): void {
    for (const ingress of this.#ingresses.values()) this.#cancelAll(ingress, code);
  }

  /** A deployment was taken out of service: what is under way there ends, and goes elsewhere where nothing of it was shown. */
  endDeployment(id: string, error: GatewayError): void {
    for (const ingress of this.#ingresses.values()) {
      for (const attempt of ingress.attempts.values()) if (attempt.deployment === id) attempt.cancel(error.code, error);
      for (const [stream, pending] of ingress.pending)
        if (pending.deployment === id) this.#cancelPending(ingress, stream, pending, error);
    }
  }

  /** Takes nothing more: who was sent here before the routers knew is sent elsewhere. */
  close(): void {
    this.#isClosed = true;
  }

  /** Resolves when no attempt is under way. */
  idle(): Promise<void> {
    if (this.#live === 0) return Promise.resolve();
    return new Promise((resolve) => (this.#onIdle = resolve));
  }

  #onOpen(ingress: Ingress, stream: number, payload: Buffer): void {
    const { task, body } = this.#readTask(ingress, stream, payload);
    const { head } = task;
    const pool = this.#deps.pools.get(head.pool);
    if (this.#isClosed || pool === undefined || !pool.take(head.router, head.slot)) {
      this.#deps.onDeclined(pool?.name ?? '', 'no_slot');
      return this.#sayDeclined(ingress.inbox, stream, new GatewayError('worker_busy', 'The worker has no free slot.'));
    }
    if (body.length === head.bodyBytes) return this.#start(pool, ingress, stream, task, [body]);
    this.#assembly.begin(partKey(ingress, stream), task, body, this.#deps.clock.now());
    this.#deps.bus.postNumber(ingress.inbox, '', FrameType.taken, stream, 0, 1);
  }

  /** A task that cannot be read (of an ingress that is newer than we are) is sent elsewhere: its client must not wait for us. */
  #readTask(ingress: Ingress, stream: number, payload: Buffer): { task: ReceivedTask; body: Buffer } {
    try {
      const { head, body } = splitHead(payload);
      const text = head.toString('utf8');
      return { task: { head: decodeText(TaskHead, text), text }, body };
    } catch (cause) {
      this.#sayDeclined(ingress.inbox, stream, new GatewayError('worker_busy', 'The worker cannot read the task.'));
      throw cause;
    }
  }

  /** Says that no attempt was begun. */
  #sayDeclined(inbox: string, stream: number, why: GatewayError): void {
    new FrameSender(this.#deps.bus, inbox, stream, 0).declined(why);
  }

  #onChunk(ingress: Ingress, stream: number, sequence: number, part: Buffer): void {
    const assembled = this.#assembly.add(partKey(ingress, stream), sequence, part, this.#deps.clock.now());
    if (assembled.kind === 'more')
      return this.#deps.bus.postNumber(ingress.inbox, '', FrameType.taken, stream, 0, assembled.taken);
    if (assembled.kind === 'broken') {
      if (assembled.head !== undefined) this.#deps.pools.get(assembled.head.pool)?.release();
      return this.#sayDeclined(ingress.inbox, stream, partsLost());
    }
    const { task, parts } = assembled.partial;
    const pool = this.#deps.pools.get(task.head.pool);
    if (pool !== undefined) this.#start(pool, ingress, stream, task, parts);
  }

  #start(pool: WorkerPool, ingress: Ingress, stream: number, task: ReceivedTask, body: readonly Buffer[]): void {
    const deployment = this.#deps.catalog.deployment(task.head.deployment);
    if (deployment === undefined) {
      const error = new GatewayError('worker_busy', 'This worker does not know the deployment.');
      return this.#decline(pool, ingress, stream, { reason: 'unknown_deployment', error });
    }
    const ready: Ready = { pool, ingress, stream, task, body, deployment };
    const admitted = this.#deps.admissions.admit(task.head, deployment, pool);
    if (admitted instanceof Promise) void this.#beginWhen(admitted, ready);
    else this.#begin(ready, admitted);
  }

  async #beginWhen(admitting: Promise<AdmittedCall | Refusal>, ready: Ready): Promise<void> {
    const { ingress, stream, deployment, pool } = ready;
    const pending: Pending = { deployment: deployment.id, isCancelled: false };
    ingress.pending.set(stream, pending);
    this.#live++;
    const admitted = await admitting;
    if (pending.isCancelled) {
      if (admitted instanceof AdmittedCall) admitted.withdraw();
      pool.release();
    } else {
      ingress.pending.delete(stream);
      this.#begin(ready, admitted);
    }
    this.#ended();
  }

  #begin({ pool, ingress, stream, task, body, deployment }: Ready, admitted: AdmittedCall | Refusal): void {
    if (!(admitted instanceof AdmittedCall)) return this.#decline(pool, ingress, stream, admitted);
    const { bus, clock, journal, late, notes, log, workerId } = this.#deps;
    const onOver = (over: Attempt): void => {
      if (ingress.attempts.get(stream) === over) ingress.attempts.delete(stream);
      pool.release();
      this.#ended();
    };
    const { backend } = pool;
    const deps = {
      clock,
      log,
      journal,
      late,
      notes,
      workerId,
      ingressId: ingress.id,
      backend,
      deployment,
      observer: admitted,
      onOver,
    };
    const attempt = new Attempt(deps, task, new FrameSender(bus, ingress.inbox, stream, task.head.creditBytes));
    this.#live++;
    ingress.attempts.set(stream, attempt);
    attempt.start(body);
  }

  #ended(): void {
    this.#live--;
    if (this.#live === 0) this.#onIdle?.();
  }

  /** The task had its slot, and goes elsewhere all the same. */
  #decline(
    pool: WorkerPool,
    ingress: Ingress,
    stream: number,
    { reason, error }: { reason: DeclineReason; error: GatewayError },
  ): void {
    pool.release();
    this.#deps.onDeclined(pool.name, reason);
    this.#sayDeclined(ingress.inbox, stream, error);
  }

  /** @param told undefined: the ingress wants no more of it */
  #cancelPending(ingress: Ingress, stream: number, pending: Pending, told?: GatewayError): void {
    pending.isCancelled = true;
    ingress.pending.delete(stream);
    if (told !== undefined) this.#sayDeclined(ingress.inbox, stream, told);
  }

  #onCancel(ingress: Ingress, stream: number, why: string): void {
    const partial = this.#assembly.drop(partKey(ingress, stream));
    if (partial !== undefined) this.#deps.pools.get(partial.pool)?.release();
    const pending = ingress.pending.get(stream);
    if (pending !== undefined) this.#cancelPending(ingress, stream, pending);
    ingress.attempts.get(stream)?.cancel(isErrorCode(why) ? why : 'client_closed_request');
  }

  #onReturned(payload: Buffer): void {
    const { pool, router, from, to } = decode(SlotsReturned, payload);
    this.#deps.pools.get(pool)?.giveBack(router, from, to);
  }

  #cancelAll(ingress: Ingress, code: ErrorCode): void {
    // An ingress taken for dead may only have hung: without a word it would wait for these attempts until their deadlines.
    for (const attempt of ingress.attempts.values()) attempt.cancel(code, givenUp());
    for (const [stream, pending] of ingress.pending) this.#cancelPending(ingress, stream, pending, givenUp());
  }

  #ingress(reply: string): Ingress {
    const now = this.#deps.clock.now();
    let ingress = this.#ingresses.get(reply);
    if (ingress === undefined) {
      ingress = { id: ingressOfInbox(reply), inbox: reply, attempts: new ChurnMap(), pending: new Map(), heardAt: now };
      this.#ingresses.set(reply, ingress);
    }
    ingress.heardAt = now;
    return ingress;
  }
}

function givenUp(): GatewayError {
  return new GatewayError('worker_lost', 'The worker gave the request up.');
}

function partsLost(): GatewayError {
  return new GatewayError('worker_lost', 'Parts of the request were lost on their way.');
}

function partKey(ingress: Ingress, stream: number): string {
  return `${ingress.inbox} ${stream}`;
}

function ofPartKey(key: string): { inbox: string; stream: number } {
  const space = key.indexOf(' ');
  return { inbox: key.slice(0, space), stream: Number(key.slice(space + 1)) };
}
