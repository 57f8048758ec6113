/** Follows one SSE answer: every token once and in order, when each came, and how it ended. */
import type { Tally } from './tally.ts';

export class SseReader {
  readonly #expect: number;
  #seen: Uint8Array;
  #partial = '';
  #lastSeq = -1;
  #lastAt = 0;
  #startedAt = 0;
  #hasEvent = false;
  tokens = 0;
  dup = 0;
  disorder = 0;
  isDone = false;
  /** The first error event's data. */
  error = '';

  /** `expect`: tokens of a complete answer; 0 when not known. */
  constructor(expect: number) {
    this.#expect = expect;
    this.#seen = new Uint8Array(expect);
  }

  /** A new answer, of a request that counts from `startedAt` (ms of performance.now()). */
  start(startedAt: number): void {
    this.#seen.fill(0);
    this.#partial = '';
    this.#lastSeq = -1;
    this.#lastAt = 0;
    this.#startedAt = startedAt;
    this.#hasEvent = false;
    this.tokens = this.dup = this.disorder = 0;
    this.isDone = false;
    this.error = '';
  }

  /** Body bytes `buffer[from, to)`, read at `now`. */
  feed(buffer: Buffer, from: number, to: number, now: number, tally: Tally): void {
    const text = this.#partial + buffer.toString('latin1', from, to);
    let at = 0;
    for (;;) {
      const end = text.indexOf('\n', at);
      if (end < 0) break;
      if (end - at > 5 && text.startsWith('data:', at)) this.#event(text, at + 5, end, now, tally);
      at = end + 1;
    }
    this.#partial = at === text.length ? '' : text.slice(at);
  }

  #event(text: string, from: number, end: number, now: number, tally: Tally): void {
    if (!this.#hasEvent) {
      this.#hasEvent = true;
      tally.ttft.add(now - this.#startedAt);
    }
    let tokens = this.#stamps(text, from, end, now, tally);
    if (tokens === 0) {
      const data = text.slice(from, end).trim();
      if (data === '[DONE]' || data.includes('"message_stop"')) {
        this.isDone = true;
        return;
      }
      if (data.startsWith('{"error"') || data.includes('"type":"error"')) {
        if (this.error === '') this.error = data;
        return;
      }
      // Unstamped: any event with content that is not empty counts as one token.
      if (/"(?:content|text)": ?"[^"]/.test(data)) {
        tokens = 1;
        this.tokens++;
      }
    }
    if (tokens === 0) return;
    if (tokens > 1) tally.coalesced++;
    if (this.#lastAt === 0) tally.ttfc.add(now - this.#startedAt);
    else tally.gap.add(now - this.#lastAt);
    this.#lastAt = now;
  }

  /** Reads every `@seq:unixnano@` in the line; how many there were. */
  #stamps(text: string, from: number, end: number, now: number, tally: Tally): number {
    let count = 0;
    for (let at = text.indexOf('@', from); at >= 0 && at < end;) {
      const close = text.indexOf('@', at + 1);
      if (close < 0 || close >= end) break;
      const colon = text.indexOf(':', at + 1);
      const seq = colon > 0 && colon < close ? Number(text.slice(at + 1, colon)) : NaN;
      const microseconds = colon > 0 && colon < close ? Number(text.slice(colon + 1, colon + 17)) : NaN;
      if (!(seq >= 0) || !(microseconds > 0)) {
        at = close;
        continue;
      }
      count++;
      tally.transit.add(performance.timeOrigin + now - microseconds / 1000);
      if (seq < this.#lastSeq) this.disorder++;
      this.#lastSeq = seq;
      if (seq < this.#expect && this.#seen[seq] === 1) this.dup++;
      else this.tokens++;
      if (seq < this.#expect) this.#seen[seq] = 1;
      at = text.indexOf('@', close + 1);
    }
    return count;
  }
}
