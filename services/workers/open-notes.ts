import type { Bus } from '../../shared/bus.ts';
import { ChurnMap } from '../../shared/churn-map.ts';
import type { Log } from '../../shared/log.ts';
import { ensureOpenStream } from '../../shared/open-stream.ts';
import { OPEN_STREAM, openSubject } from '../../shared/subjects.ts';

/** Notes of attempts that have ended leave the stream this often. */
const SWEEP_EVERY_MS = 30_000;
const ACK_WITHIN_MS = 3_000;
const RETRY_STREAM_MS = 1_000;
/** Well below the smallest payload that a server may have. */
const MESSAGE_BYTES = 256 * 1024;

export interface OpenNotesDeps {
  /** The connection of the usage events: notes never stand before tokens. */
  readonly bus: Bus;
  readonly workerId: string;
  readonly log: Log;
  readonly sweepEveryMs?: number;
}

/**
 * Tells JetStream of each attempt before its provider is called, so that one whose worker and ingress die together is in the
 * account all the same. Nothing waits for the server: what a turn began leaves in one message at its end, in the socket's
 * order before anything that ends. What it holds in memory are the attempts under way.
 */
export class OpenNotes {
  readonly #bus: Bus;
  readonly #log: Log;
  readonly #subject: string;
  /** As they were sent. */
  readonly #open = new ChurnMap<string>();
  readonly #timer: NodeJS.Timeout;
  readonly #told: { unsubscribe(): void };
  #unsent: string[] = [];
  /** Messages in the stream that may be taken away. */
  #isDirty = false;
  #isSweeping = false;
  #isStopped = false;

  constructor({ bus, workerId, log, sweepEveryMs = SWEEP_EVERY_MS }: OpenNotesDeps) {
    this.#bus = bus;
    this.#log = log;
    this.#subject = openSubject(workerId);
    this.#timer = setInterval(() => void this.#sweep(), sweepEveryMs);
    // What was on its way when the connection broke may be lost.
    this.#told = bus.onConnection((isConnected) => {
      if (isConnected) void this.#sweep();
    });
    void this.#ensureStream();
  }

  /**
   * Call it in the turn in which the provider is called.
   * @param task `TaskHead` as JSON, as it came
   * @returns the note's number
   */
  opened(task: string, startedEpochMs: number, ingressId: string): number {
    const note = `{"startedEpochMs":${startedEpochMs},"ingress":${JSON.stringify(ingressId)},"task":${task}}`;
    if (this.#unsent.push(note) === 1) queueMicrotask(() => this.#send());
    return this.#open.add(note);
  }

  /** The event of the attempt of this note is safe: until then it may be lost with this process. */
  ended(note: number): void {
    this.#open.delete(note);
  }

  /** After the last attempt, and after the journal has handed everything over. */
  async stop(): Promise<void> {
    clearInterval(this.#timer);
    this.#told.unsubscribe();
    this.#isDirty = true;
    await this.#sweep();
    this.#isStopped = true;
  }

  #send(): void {
    const notes = this.#unsent;
    this.#unsent = [];
    this.#isDirty = true;
    for (const text of messagesOf(notes)) this.#bus.publishText(this.#subject, text);
  }

  /** Notes again what is under way, and takes away everything that was said before. */
  async #sweep(): Promise<void> {
    if (this.#isSweeping || !this.#isDirty || !this.#bus.isConnected) return;
    this.#isSweeping = true;
    this.#isDirty = this.#open.size > 0;
    try {
      const first = await this.#noteAll();
      const manager = await this.#bus.jetStreamManager();
      await manager.streams.purge(OPEN_STREAM, { filter: this.#subject, seq: first });
    } catch (err) {
      this.#isDirty = true;
      this.#log.debug({ err }, 'notes of open attempts not swept');
    } finally {
      this.#isSweeping = false;
    }
  }

  /** @returns the place in the stream of the first of the new notes */
  async #noteAll(): Promise<number> {
    const messages = this.#open.size === 0 ? ['[]'] : messagesOf(this.#open.values());
    const acks = await Promise.all(
      messages.map((text) =>
        this.#bus.jetStream().publish(this.#subject, Buffer.from(text), { timeout: ACK_WITHIN_MS }),
      ),
    );
    return Math.min(...acks.map(({ seq }) => seq));
  }

  async #ensureStream(): Promise<void> {
    while (!this.#isStopped && !this.#bus.isClosed) {
      try {
        await ensureOpenStream(this.#bus);
        // What began before it was there.
        if (this.#open.size > 0) await this.#sweep();
        return;
      } catch (err) {
        this.#log.debug({ err }, 'the stream of open attempts cannot be made yet');
        await new Promise((resolve) => setTimeout(resolve, RETRY_STREAM_MS).unref());
      }
    }
  }
}

/** Lists of notes as JSON, none much longer than `MESSAGE_BYTES`. */
function messagesOf(notes: readonly string[]): string[] {
  const messages: string[] = [];
  let part: string[] = [];
  let bytes = 0;
  for (const note of notes) {
    part.push(note);
    bytes += note.length;
    if (bytes < MESSAGE_BYTES) continue;
    messages.push(`[${part.join(',')}]`);
    part = [];
    bytes = 0;
  }
  if (part.length > 0) messages.push(`[${part.join(',')}]`);
  return messages;
}
