import type { Millis } from '../../shared/clock.ts';
import type { TaskHead } from '../../shared/messages/task.ts';

/** Parts of one body that have not all come. */
export interface PartialTask {
  readonly head: TaskHead;
  readonly parts: Buffer[];
  bytes: number;
  /** Parts taken, the first of them in the `open` frame. */
  taken: number;
  lastPartAt: Millis;
}

/** A part is missing or too much: the sender and this worker disagree, so the attempt must start anew. */
export type Assembled =
  | { kind: 'more'; taken: number }
  | { kind: 'whole'; task: PartialTask }
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

  begin(key: string, head: TaskHead, first: Buffer, now: Millis): void {
    // A copy: the view belongs to the socket's buffer.
    this.#partial.set(key, { head, parts: [Buffer.from(first)], bytes: first.length, taken: 1, lastPartAt: now });
  }

  /** @param sequence counts the parts from 1; the `open` frame's is 0 */
  add(key: string, sequence: number, part: Buffer, now: Millis): Assembled {
    const task = this.#partial.get(key);
    if (task === undefined || sequence !== task.taken || task.bytes + part.length > task.head.bodyBytes) {
      this.#partial.delete(key);
      return { kind: 'broken', head: task?.head };
    }
    task.parts.push(Buffer.from(part));
    task.bytes += part.length;
    task.taken++;
    task.lastPartAt = now;
    if (task.bytes < task.head.bodyBytes) return { kind: 'more', taken: task.taken };
    this.#partial.delete(key);
    return { kind: 'whole', task };
  }

  /** The head of what was dropped, so that its slot can be freed. */
  drop(key: string): TaskHead | undefined {
    const task = this.#partial.get(key);
    this.#partial.delete(key);
    return task?.head;
  }

  /** Drops those whose next part did not come for `silentMs`. */
  dropSilent(now: Millis, silentMs: number): Array<{ key: string; head: TaskHead }> {
    const dropped: Array<{ key: string; head: TaskHead }> = [];
    for (const [key, task] of this.#partial) {
      if (now - task.lastPartAt < silentMs) continue;
      this.#partial.delete(key);
      dropped.push({ key, head: task.head });
    }
    return dropped;
  }
}
