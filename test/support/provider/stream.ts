/** One streamed chat answer: tokens at their times, as fast as the client reads, with the faults of its verdict. */
import { streamHead } from './answers.ts';
import { ChatEvents } from './chat.ts';
import type { ChatAsk } from './chat.ts';
import type { Connection, Exchange } from './connection.ts';
import type { Engine } from './engine.ts';
import { errorJson } from './errors.ts';
import { binary } from './chat.ts';
import { Fragments } from './fragments.ts';
import type { Plan } from './plan.ts';
import type { Due, Timer } from './schedule.ts';
import { StampedToken } from './stamped-token.ts';
import { unixMs } from './stats.ts';

const HEX: readonly string[] = Array.from({ length: 4_096 }, (_, size) => `${size.toString(16)}\r\n`);
const LAST_CHUNK = '0\r\n\r\n';
/** Bytes collected before a write; then the socket says whether the client keeps up. */
const BLOCK_BYTES = 65_536;
/** Then the other streams have their turn: a firehose whose client keeps up never has to wait for it. */
const BLOCKS_PER_TURN = 16;
/** Time for the client to read what came before a RST, which discards what it has not read. */
const RESET_AFTER_MS = 20;

/** HTTP chunk framing of a binary string. */
export function chunk(text: string): string {
  return text === '' ? '' : `${HEX[text.length] ?? `${text.length.toString(16)}\r\n`}${text}\r\n`;
}

/** Verdicts that strike after `cutat` tokens. */
type Strike = 'cut' | 'cutreset' | 'err' | 'bad' | 'midbad' | 'cutjson' | 'stall';
const STRIKES: ReadonlySet<string> = new Set<Strike>(['cut', 'cutreset', 'err', 'bad', 'midbad', 'cutjson', 'stall']);

export class ChatStream implements Exchange, Due {
  readonly #engine: Engine;
  readonly #connection: Connection;
  readonly #plan: Plan;
  readonly #ask: ChatAsk;
  readonly #isClosing: boolean;
  readonly #events: ChatEvents;
  readonly #fragments: Fragments | undefined;
  readonly #startedAt: number;
  readonly #firstAt: number;
  readonly #itlMs: number;
  /** Tokens before the fault; n when there is none or it is over. */
  #limit: number;
  #isStriking: boolean;
  #hasOpened = false;
  #hasEnded = false;
  /** Tokens sent; also the number of the next one. */
  #next = 0;
  #out = '';
  /** The framed event of every token, when they are all the same. */
  #constant = '';
  /** The event of a stamped token, written over for the next; undefined: to be made. */
  #stamped: StampedToken | undefined;
  readonly #canStamp: boolean;
  #timer: Timer | undefined;
  /** What the timer is for, when it is not the next token. */
  #then: (() => void) | undefined;

  constructor(engine: Engine, connection: Connection, plan: Plan, ask: ChatAsk, isClosing: boolean, waitMs: number) {
    const { script, verdict, n } = ask;
    this.#engine = engine;
    this.#connection = connection;
    this.#plan = plan;
    this.#ask = ask;
    this.#isClosing = isClosing;
    this.#events = new ChatEvents(ask);
    this.#itlMs = script.itlMs;
    this.#isStriking = STRIKES.has(verdict);
    this.#limit = this.#isStriking ? Math.min(n, script.cutat > 0 ? script.cutat : Math.floor(n / 2)) : n;
    if (script.split > 0 || script.bytewise) {
      this.#fragments = new Fragments(engine.schedule, connection, script, () => this.#pump(performance.now()));
    } else if (this.#events.isConstant) {
      this.#constant = chunk(this.#events.token(0, 0));
    }
    this.#canStamp = script.ts && !script.tools && ask.choices === 1 && verdict !== 'nochoices' && !this.#fragments;
    this.#startedAt = performance.now();
    this.#firstAt = this.#startedAt + waitMs;
    connection.begin(this);
    if (waitMs > 0) this.#timer = engine.schedule.at(this.#firstAt, this);
    else this.#pump(this.#startedAt);
  }

  onDue(now: number): void {
    this.#timer = undefined;
    const then = this.#then;
    if (then === undefined) return this.#pump(now);
    this.#then = undefined;
    then();
  }

  onDrain(): void {
    if (this.#timer === undefined) this.#pump(performance.now());
  }

  onGone(): void {
    this.#stopTimers();
    const { stats } = this.#engine;
    const tokens = this.#next * this.#ask.choices;
    stats.tokens(this.#plan.counters, this.#ask.promptTokens, tokens);
    stats.abandoned(this.#plan.counters, {
      atMs: unixMs(),
      afterMs: performance.now() - this.#startedAt,
      key: this.#plan.key,
      model: this.#plan.model,
      tokens,
    });
    stats.end();
  }

  #stopTimers(): void {
    this.#hasEnded = true;
    if (this.#timer !== undefined) this.#engine.schedule.cancel(this.#timer);
    this.#fragments?.stop();
  }

  /** Sends what is due, then waits for the next token, for the client, or ends. */
  #pump(now: number): void {
    if (this.#hasEnded || this.#then !== undefined || this.#fragments?.isBusy === true) return;
    if (!this.#hasOpened && this.#open()) return;
    for (let blocks = 0; blocks < BLOCKS_PER_TURN; blocks++) {
      const due = this.#dueBy(now);
      if (this.#next < due) {
        const isStamped = this.#canStamp && due - this.#next === 1 && this.#out === '';
        if (!(isStamped ? this.#stampedToken() : this.#block(due))) return; // goes on in onDrain, or when the fragments are out
        if (this.#next < due) continue;
      }
      if (this.#next < this.#limit || !this.#isDue(this.#limit, now)) break;
      if (!this.#isStriking) return this.#close();
      this.#isStriking = false;
      this.#limit = this.#ask.n;
      if (this.#strike()) return;
    }
    this.#timer = this.#engine.schedule.at(this.#firstAt + this.#next * this.#itlMs, this);
  }

  /** The closing is due with the last token; a fault one gap after the token before it. */
  #isDue(seq: number, now: number): boolean {
    if (this.#itlMs === 0 || !this.#isStriking) return true;
    return now >= this.#firstAt + seq * this.#itlMs;
  }

  /** Tokens that should have been sent by now. */
  #dueBy(now: number): number {
    if (this.#itlMs === 0) return this.#limit;
    return Math.min(this.#limit, Math.floor((now - this.#firstAt) / this.#itlMs + 1e-6) + 1);
  }

  /** Sends one stamped token, the usual case of a timed stream; false when the rest has to wait. */
  #stampedToken(): boolean {
    const seq = this.#next++;
    let stamped = this.#stamped;
    if (stamped === undefined || seq >= stamped.until) {
      stamped = new StampedToken(chunk(this.#events.token(seq, unixMs())), seq);
      this.#stamped = stamped;
    } else {
      stamped.set(seq, unixMs());
    }
    if (this.#connection.writeBytes(stamped.bytes)) return true;
    this.#stamped = undefined; // the socket still holds these bytes
    return !this.#connection.isFull;
  }

  /** Sends a block of tokens; false when the rest has to wait. */
  #block(due: number): boolean {
    this.#tokens(due);
    return this.#flush();
  }

  /** Adds tokens to the block until it is full or `due` is reached. */
  #tokens(due: number): void {
    if (this.#constant !== '') {
      const room = Math.max(1, Math.floor((BLOCK_BYTES - this.#out.length) / this.#constant.length));
      const count = Math.min(due - this.#next, room);
      this.#out += count === 1 ? this.#constant : this.#constant.repeat(count);
      this.#next += count;
      return;
    }
    const stamp = this.#ask.script.ts ? unixMs() : 0;
    do this.#add(this.#events.token(this.#next++, stamp));
    while (this.#next < due && this.#out.length < BLOCK_BYTES);
  }

  #add(text: string): void {
    if (this.#fragments !== undefined) this.#fragments.add(text);
    else this.#out += chunk(text);
  }

  /** Writes the block; false when the rest has to wait. */
  #flush(): boolean {
    if (this.#fragments !== undefined) return !this.#fragments.start();
    const text = this.#out;
    this.#out = '';
    return text === '' || this.#connection.write(text);
  }

  /** Head and role chunk, with the first token if that is due; true when the stream is over with it. */
  #open(): boolean {
    this.#hasOpened = true;
    const { verdict, script, id } = this.#ask;
    const head = streamHead(script, id, this.#isClosing);
    if (this.#fragments !== undefined) this.#connection.write(head);
    else this.#out = head;
    if (verdict !== 'err200') this.#add(this.#events.opening());
    if (verdict === 'err200' || verdict === 'role-then-err') {
      this.#add(this.#events.error(binary(errorJson(500, script))));
      this.#whenOut(() => this.#end('last-chunk', 'cut'));
      return true;
    }
    if (verdict === 'headers-only') {
      this.#whenOut(() => this.#after(script.hangMs, () => this.#end('close', 'cut')));
      return true;
    }
    return false;
  }

  /** The fault of the verdict; true when the stream is over with it. */
  #strike(): boolean {
    const { script } = this.#ask;
    const verdict = this.#ask.verdict as Strike;
    switch (verdict) {
      case 'midbad':
        this.#add(this.#events.malformed());
        return false;
      case 'err':
        this.#add(this.#events.error(binary(errorJson(500, script))));
        break;
      case 'bad':
        this.#add(this.#events.malformed());
        break;
      case 'cutjson':
        this.#add(this.#events.halfToken(this.#next, unixMs()));
        break;
      case 'stall':
        this.#whenOut(() => this.#after(script.hangMs, () => this.#end('close', 'cut')));
        return true;
      case 'cutreset':
        this.#whenOut(() => this.#after(RESET_AFTER_MS, () => this.#end('reset', 'cut')));
        return true;
      case 'cut':
        this.#whenOut(() => this.#end('close', 'cut'));
        return true;
    }
    this.#whenOut(() => this.#end('last-chunk', 'cut'));
    return true;
  }

  #close(): void {
    const { verdict, n, choices } = this.#ask;
    const closing = this.#events.closing(n * choices);
    if (closing !== '') this.#add(closing);
    if (verdict !== 'nodone') this.#add(this.#events.done());
    this.#whenOut(() =>
      this.#end(verdict === 'noend' ? 'close' : 'last-chunk', verdict === 'noend' ? 'cut' : 'finished'),
    );
  }

  /** Runs `then` when everything added so far is with the socket. */
  #whenOut(then: () => void): void {
    if (this.#fragments === undefined || !this.#fragments.start(then)) then();
  }

  #after(ms: number, then: () => void): void {
    this.#flush();
    this.#then = then;
    this.#timer = this.#engine.schedule.at(performance.now() + ms, this);
  }

  #end(how: 'last-chunk' | 'close' | 'reset', outcome: 'finished' | 'cut'): void {
    if (this.#hasEnded) return;
    this.#stopTimers();
    const { stats } = this.#engine;
    const rest = this.#out + (how === 'last-chunk' ? LAST_CHUNK : '');
    this.#out = '';
    if (rest !== '') this.#connection.write(rest);
    stats.tokens(this.#plan.counters, this.#ask.promptTokens, this.#next * this.#ask.choices);
    stats[outcome](this.#plan.counters);
    stats.end();
    if (how === 'last-chunk') this.#connection.finish(this.#isClosing);
    else if (how === 'close') this.#connection.end();
    else this.#connection.reset();
  }
}
