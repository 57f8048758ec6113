import type { Millis } from '../../shared/clock.ts';
import type { TaskHead } from '../../shared/messages/task.ts';

/** What an ingress wants done, and the text that said so. */
export interface ReceivedTask {
  readonly head: TaskHead;
  /** JSON. */
  readonly text: string;
}

/** Parts of one body that have not all come. */
export interface PartialTask {
  readonly task: ReceivedTask;
  readonly parts: Buffer[];
  bytes: number;
  /** Parts taken, the first of them in the `open` frame. */
  taken: number;
  lastPartAt: Millis;
}

/** A part is missing or too much: the sender and this worker disagree, so the attempt must start anew. */
export type Assembled =
  | { kind: 'more'; taken: number }
  | { kind: 'whole'; partial: PartialTask }
  | { kind: 'broken'; head: TaskHead | undefined };

/**
 * Puts bodies beyond the broker's `max_payload` together again, from parts that come in order. What it holds is bounded
 * by the slots (one body each) and by the ingress' body limit; the window of unacknowledged parts is the sender's.
 */
export class Assembly {
  readonly #partial = new Map<string, PartialTask>();

  get size(): number {
    return this.#partial.size;
  }

  begin(key: string, task: ReceivedTask, first: Buffer, now: Millis): void {
    // A copy: the view belongs to the socket's buffer.
    this.#partial.set(key, { task, parts: [Buffer.from(first)], bytes: first.length, taken: 1, lastPartAt: now });
  }

  /** @param sequence counts the parts from 1; the `open` frame's is 0 */
  add(key: string, sequence: number, part: Buffer, now: Millis): Assembled {
    const partial = this.#partial.get(key);
    const bodyBytes = partial?.task.head.bodyBytes ?? 0;
    if (partial === undefined || sequence !== partial.taken || partial.bytes + part.length > bodyBytes) {
      this.#partial.delete(key);
      return { kind: 'broken', head: partial?.task.head };
    }
    partial.parts.push(Buffer.from(part));
    partial.bytes += part.length;
    partial.taken++;
    partial.lastPartAt = now;
    if (partial.bytes < bodyBytes) return { kind: 'more', taken: partial.taken };
    this.#partial.delete(key);
    return { kind: 'whole', partial };
  }

  /** The head of what was dropped, so that its slot can be freed. */
  drop(key: string): TaskHead | undefined {
    const partial = this.#partial.get(key);
    this.#partial.delete(key);
    return partial?.task.head;
  }

  /** Drops those whose next part did not come for `silentMs`. */
  dropSilent(now: Millis, silentMs: number): Array<{ key: string; head: TaskHead }> {
    const dropped: Array<{ key: string; head: TaskHead }> = [];
    for (const [key, { task, lastPartAt }] of this.#partial) {
      if (now - lastPartAt < silentMs) continue;
      this.#partial.delete(key);
      dropped.push({ key, head: task.head });
    }
    return dropped;
  }
}
