/** One connection of the load: sends a request, follows the answer, tells the tally. */
import net from 'node:net';
import type { Load } from './options.ts';
import type { RequestBytes } from './request.ts';
import { ResponseParser } from './response.ts';
import type { ResponseSink } from './response.ts';
import { SseReader } from './sse.ts';
import type { Tally } from './tally.ts';

/** Reads are handled synchronously, so all connections share one buffer. */
const READ_BUFFER = Buffer.allocUnsafe(65_536);

const noop = (): void => undefined;

export class Client implements ResponseSink {
  static dials = 0;

  readonly #load: Load;
  readonly #request: RequestBytes;
  readonly #parser = new ResponseParser(this);
  readonly #sse: SseReader | undefined;
  #socket: net.Socket | undefined;
  #tally: Tally | undefined;
  #onDone: (client: Client, isAnswered: boolean) => void = noop;
  #startedAt = 0;
  /** When the bytes were last handed to the socket, for the timeout; Infinity while idle. */
  #sentAt = Infinity;
  #readAt = 0;
  /** No answer yet on this connection: it may not be replaced silently when it breaks. */
  #isFresh = true;
  #hasBytes = false;
  #detail = '';

  constructor(load: Load, request: RequestBytes) {
    this.#load = load;
    this.#request = request;
    this.#sse = load.stream ? new SseReader(load.expect) : undefined;
  }

  get isBusy(): boolean {
    return this.#tally !== undefined;
  }

  /** Opens the connection ahead of the first request. */
  connect(): Promise<void> {
    return new Promise((resolve) => {
      const socket = this.#open();
      socket.once('connect', resolve);
      socket.once('close', () => resolve());
    });
  }

  /** Sends one request; latency counts from `startedAt`. `onDone` may send the next. */
  send(startedAt: number, now: number, tally: Tally, onDone: (client: Client, isAnswered: boolean) => void): void {
    this.#startedAt = startedAt;
    this.#sentAt = now;
    this.#tally = tally;
    this.#onDone = onDone;
    this.#parser.start();
    this.#sse?.start(startedAt);
    this.#detail = '';
    this.#isFresh = this.#socket === undefined;
    this.#write();
  }

  #write(): void {
    this.#hasBytes = false;
    const socket = this.#socket ?? this.#open();
    socket.write(this.#request.next());
    if (socket.writableLength > 0) this.#request.kept();
  }

  #open(): net.Socket {
    Client.dials++;
    const socket = net.connect({
      host: this.#request.host,
      port: this.#request.port,
      noDelay: true,
      onread: {
        buffer: READ_BUFFER,
        callback: (length: number): boolean => {
          if (socket === this.#socket) this.#onBytes(length);
          return true;
        },
      },
    });
    this.#socket = socket;
    let code = '';
    socket.on('error', (error: NodeJS.ErrnoException) => {
      code = error.code ?? error.message;
    });
    socket.on('end', () => this.#onClosed(socket, code));
    socket.on('close', () => this.#onClosed(socket, code));
    return socket;
  }

  #onBytes(length: number): void {
    this.#hasBytes = true;
    this.#readAt = performance.now();
    try {
      this.#parser.feed(READ_BUFFER, length);
    } catch (error) {
      this.#fail('bad_answer', String(error));
    }
  }

  onBody(buffer: Buffer, from: number, to: number): void {
    const tally = this.#tally;
    if (tally === undefined) return;
    tally.bytes += to - from;
    if (this.#parser.status === 200) this.#sse?.feed(buffer, from, to, this.#readAt, tally);
    else if (this.#load.samples && this.#detail.length < 300) this.#detail += buffer.toString('utf8', from, to);
  }

  onComplete(): void {
    const tally = this.#tally;
    if (tally === undefined) return;
    const { status } = this.#parser;
    if (this.#parser.isClosing || this.#load.close) this.#drop();
    this.#tally = undefined;
    this.#sentAt = Infinity;
    tally.sent++;
    tally.status.set(status, (tally.status.get(status) ?? 0) + 1);
    const problem = status === 200 ? this.#streamProblem() : `http_${status}`;
    if (problem === '') {
      tally.ok++;
      tally.latency.add(this.#readAt - this.#startedAt);
    } else {
      tally.fail(problem, this.#detail);
    }
    if (status === 200) this.#countStream(tally, problem);
    this.#onDone(this, true);
  }

  /** Why a stream that ended properly is not a good one; '' when it is. */
  #streamProblem(): string {
    const sse = this.#sse;
    if (sse === undefined) return '';
    if (sse.error !== '') {
      this.#detail = sse.error;
      return 'stream_error_event';
    }
    if (this.#load.expect > 0 && sse.tokens !== this.#load.expect) return 'stream_incomplete';
    return !sse.isDone && this.#load.needDone ? 'stream_no_end_event' : '';
  }

  #countStream(tally: Tally, problem: string): void {
    const sse = this.#sse;
    if (sse === undefined) return;
    tally.tokens += sse.tokens;
    tally.dup += sse.dup;
    tally.disorder += sse.disorder;
    if (!sse.isDone) tally.noEnd++;
    if (this.#load.expect === 0) return;
    tally.missing += this.#load.expect - sse.tokens;
    if (problem === '' && sse.dup === 0 && sse.disorder === 0) tally.complete++;
  }

  #onClosed(socket: net.Socket, code: string): void {
    if (socket !== this.#socket) return;
    this.#drop();
    if (this.#tally === undefined) return;
    if (this.#parser.endOfInput() && code === '') {
      this.#readAt = performance.now();
      this.onComplete();
      return;
    }
    if (!this.#isFresh && !this.#hasBytes) {
      this.#isFresh = true; // an idle connection that the server closed: any HTTP client tries again
      this.#write();
      return;
    }
    const stage = this.#parser.isInBody ? 'body' : 'headers';
    if (code === 'ECONNREFUSED') this.#fail('refused', code);
    else if (code === 'ECONNRESET' || code === 'EPIPE') this.#fail(`reset_${stage}`, code);
    else if (code === '') this.#fail(`eof_${stage}`, '');
    else this.#fail(`error_${stage}`, code);
  }

  /** Called now and then: fails the request when it is out longer than `-timeout`. */
  checkTimeout(now: number): void {
    if (now - this.#sentAt < this.#load.timeoutMs) return;
    this.#fail(`timeout_${this.#parser.isInBody ? 'body' : 'headers'}`, '');
  }

  #fail(kind: string, detail: string): void {
    this.#drop();
    const tally = this.#tally;
    if (tally === undefined) return;
    this.#tally = undefined;
    this.#sentAt = Infinity;
    tally.sent++;
    const { status } = this.#parser;
    if (status !== 0) tally.status.set(status, (tally.status.get(status) ?? 0) + 1);
    tally.fail(kind, detail);
    if (status === 200) this.#countStream(tally, kind);
    this.#onDone(this, false);
  }

  #drop(): void {
    const socket = this.#socket;
    this.#socket = undefined;
    socket?.destroy();
  }

  close(): void {
    this.#drop();
  }
}
