import type { Bus } from '../../shared/bus.ts';
import type { ErrorCode } from '../../shared/errors.ts';
import type { Envelope } from '../../shared/messages/envelope.ts';
import { FrameType } from '../../shared/messages/frame.ts';
import type { SlotsReturned } from '../../shared/messages/slots.ts';
import type { TaskHead } from '../../shared/messages/task.ts';
import { inboxSubject, routerSubject, workerSubject } from '../../shared/subjects.ts';
import type { UnusedSlots } from './core/slots-ahead.ts';
import { Uploads } from './uploads.ts';

/** What an ingress says of its requests to routers and workers. Each parcel names the one it is for as its reply's peer. */
export class Outgoing {
  readonly #bus: Bus;
  readonly #ingressId: string;
  readonly #uploads: Uploads;

  constructor(bus: Bus, ingressId: string, uploads: Uploads) {
    this.#bus = bus;
    this.#ingressId = ingressId;
    this.#uploads = uploads;
  }

  get isConnected(): boolean {
    return this.#bus.isConnected;
  }

  /** Where? */
  ask(router: string, stream: number, envelope: Envelope): void {
    this.#bus.post(routerSubject(router), this.#inbox(router), FrameType.ask, stream, 0, JSON.stringify(envelope));
  }

  /** The request no longer waits there. */
  abandon(router: string, stream: number): void {
    this.#bus.post(routerSubject(router), this.#inbox(router), FrameType.abandon, stream, 0, '');
  }

  /** The task with its body, which follows in parts when it is large. */
  open(worker: string, stream: number, task: TaskHead, body: Buffer): void {
    const to = workerSubject(worker);
    const reply = this.#inbox(worker);
    this.#bus.post(to, reply, FrameType.open, stream, 0, `${JSON.stringify(task)}\n`, Uploads.firstPart(body));
    this.#uploads.begin(to, reply, stream, body);
  }

  cancel(worker: string, stream: number, code: ErrorCode): void {
    this.#bus.post(workerSubject(worker), this.#inbox(worker), FrameType.cancel, stream, 0, code);
  }

  /** The client has taken `bytes` more. */
  credit(worker: string, stream: number, bytes: number): void {
    this.#bus.postNumber(workerSubject(worker), this.#inbox(worker), FrameType.credit, stream, 0, bytes);
  }

  /** A worker that is gone answers with "no responders". */
  ping(worker: string): void {
    this.#bus.post(workerSubject(worker), this.#inbox(worker), FrameType.ping, 0, 0, '');
  }

  /** Promised slots that nobody here will use. */
  giveBack(unused: readonly UnusedSlots[]): void {
    for (const { worker, pool, router, from, to } of unused) {
      const returned: SlotsReturned = { v: 1, router, pool, from, to };
      this.#bus.post(workerSubject(worker), this.#inbox(worker), FrameType.returned, 0, 0, JSON.stringify(returned));
    }
  }

  #inbox(peer: string): string {
    return inboxSubject(this.#ingressId, peer);
  }
}
