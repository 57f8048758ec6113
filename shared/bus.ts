import { connect, createInbox, Events, JSONCodec, NatsError } from 'nats';
import type { ConnectionOptions, JetStreamClient, JetStreamManager, Msg, NatsConnection } from 'nats';
import type { z } from 'zod';
import { readJson } from './check.ts';
import { systemClock } from './clock.ts';
import { GatewayError } from './errors.ts';
import type { Change } from './key-value.ts';
import { KeyValueBucket } from './key-value.ts';
import type { Log } from './log.ts';
import type { FrameHandler } from './messages/frame.ts';
import { PoisonedMessage, readParcel } from './messages/frame.ts';
import type { OutboxTiming } from './outbox.ts';
import { Outbox } from './outbox.ts';

/** What a stream or a consumer may be told: for those who make them through `jetStreamManager`. */
export { AckPolicy, DeliverPolicy, DiscardPolicy, RetentionPolicy, StorageType } from 'nats';

const json = JSONCodec<unknown>();
const NO_RESPONDERS = 503;
/** The client writes inline past this many unsent bytes; at its default of 32 KiB, bodies leave in several writes a turn. */
const INLINE_WRITE_BYTES = 1024 * 1024;
const RECONNECT_WAIT_MS = 100;
const RECONNECT_JITTER_MS = 100;
/** A server that stops answering (stopped, or a dead link) is given up after two of these. */
const PING_EVERY_MS = 2_000;
const CONNECT_TIMEOUT_MS = 5_000;
/** NATS' default. The largest parcel, a batch of usage events or a body's part with its neighbours, is about half of it. */
const MIN_PAYLOAD_BYTES = 1024 * 1024;
const MAX_LOGGED_BYTES = 200;

const TURN: OutboxTiming = { now: systemClock.now, atTurnEnd: setImmediate, after: setTimeout };

export interface BusOptions {
  readonly url: string;
  /** Shown by the server's connection list. */
  readonly name: string;
  readonly log: Log;
  /** Counts messages that broke their contract, by kind of subject. */
  readonly onPoisoned?: (subject: string) => void;
  /** How long the first connection may take. */
  readonly waitMs?: number;
}

export interface Subscription {
  unsubscribe(): void;
}

/** A frame handler that also learns where the parcel came from: the subject to answer on ('' when none was given). */
export type FrameListener = (
  type: number,
  stream: number,
  sequence: number,
  payload: Buffer,
  reply: string,
  subject: string,
) => void;

/**
 * One connection to NATS: the only module that imports its client. Frames leave through the outbox, messages are typed
 * when sent and checked when received, and whatever breaks its contract is counted, logged and dropped.
 *
 * While the server is away nothing is buffered: `post` drops (its senders have deadlines of their own and are told by
 * `onConnection`), `request` throws `broker_unavailable`.
 */
export class Bus {
  readonly #connection: NatsConnection;
  readonly #log: Log;
  readonly #onPoisoned: (subject: string) => void;
  readonly #outbox: Outbox;
  readonly #connectionListeners = new Set<(isConnected: boolean) => void>();
  #isConnected = true;
  #isClosing = false;

  /** @throws Error when no server answers within `waitMs` (default 5 s) */
  static async connect(options: BusOptions): Promise<Bus> {
    const hidden = { pendingLimit: INLINE_WRITE_BYTES };
    const settings: ConnectionOptions = {
      servers: options.url.split(','),
      name: options.name,
      timeout: options.waitMs ?? CONNECT_TIMEOUT_MS,
      maxReconnectAttempts: -1,
      reconnectTimeWait: RECONNECT_WAIT_MS,
      reconnectJitter: RECONNECT_JITTER_MS,
      pingInterval: PING_EVERY_MS,
      maxPingOut: 2,
      noAsyncTraces: true,
      ...hidden,
    };
    const connection = await connect(withCredentials(settings, options.url));
    const maxPayload = connection.info?.max_payload ?? 0;
    if (maxPayload < MIN_PAYLOAD_BYTES) {
      await connection.close();
      throw new Error(
        `nats-server takes messages of ${maxPayload} bytes only; set its max_payload to ${MIN_PAYLOAD_BYTES} or more`,
      );
    }
    return new Bus(connection, options);
  }

  private constructor(connection: NatsConnection, { log, onPoisoned }: BusOptions) {
    this.#connection = connection;
    this.#log = log;
    this.#onPoisoned = onPoisoned ?? (() => undefined);
    this.#outbox = new Outbox((subject, reply, parcel) => this.#publishBytes(subject, reply, parcel), TURN);
    void this.#watchConnection();
  }

  get isConnected(): boolean {
    return this.#isConnected;
  }

  get isClosed(): boolean {
    return this.#isClosing || this.#connection.isClosed();
  }

  /** Bytes that one message may have on this server. */
  get maxPayload(): number {
    return this.#connection.info?.max_payload ?? 0;
  }

  get serverVersion(): string {
    return this.#connection.info?.version ?? 'unknown';
  }

  /** Whether the server is one of a cluster. */
  get isClustered(): boolean {
    return this.#connection.info?.cluster !== undefined;
  }

  /** Called with false when the connection is lost and with true when it is back. */
  onConnection(listener: (isConnected: boolean) => void): Subscription {
    this.#connectionListeners.add(listener);
    return { unsubscribe: () => void this.#connectionListeners.delete(listener) };
  }

  /** Sends a frame with this turn's parcel to `subject`. See `Outbox.post`. */
  post(
    subject: string,
    reply: string,
    type: number,
    stream: number,
    sequence: number,
    head: string,
    body?: Uint8Array,
  ): void {
    if (this.#isConnected) this.#outbox.post(subject, reply, type, stream, sequence, head, body);
  }

  /** As `post`, with a u32 before `body`. */
  postNumber(
    subject: string,
    reply: string,
    type: number,
    stream: number,
    sequence: number,
    number: number,
    body?: Uint8Array,
  ): void {
    if (this.#isConnected) this.#outbox.postNumber(subject, reply, type, stream, sequence, number, body);
  }

  /**
   * Receives frames. `onNoResponders(subject)` is called when a parcel that named a subject of this subscription as its
   * reply found nobody: within 0.1 ms of the publish.
   */
  onFrames(
    subject: string,
    listener: FrameListener,
    options: { queue?: string; onNoResponders?: (subject: string) => void } = {},
  ): Subscription {
    return this.#connection.subscribe(subject, {
      ...(options.queue === undefined ? {} : { queue: options.queue }),
      callback: (error, message) => {
        if (error !== null) return this.#logError(subject, error);
        if (isNoResponders(message)) return options.onNoResponders?.(message.subject);
        const reply = message.reply ?? '';
        const from = message.subject;
        const onFrame: FrameHandler = (type, stream, sequence, payload) => {
          // One bad frame must not take its neighbours in the parcel with it.
          try {
            listener(type, stream, sequence, payload, reply, from);
          } catch (failure) {
            this.#report(message, failure);
          }
        };
        this.#guard(message, () => readParcel(message.data, onFrame));
      },
    });
  }

  /** Publishes one message, outside of the parcels. */
  publish(subject: string, message: object): void {
    if (this.#isConnected) this.#connection.publish(subject, json.encode(message));
  }

  /** As `publish`, of a message that is JSON already. */
  publishText(subject: string, message: string): void {
    this.#publishBytes(subject, '', Buffer.from(message));
  }

  /** Receives messages of one schema. */
  onMessage<S extends z.ZodType>(subject: string, schema: S, listener: (message: z.infer<S>) => void): Subscription {
    return this.#connection.subscribe(subject, {
      callback: (error, message) => {
        if (error !== null) return this.#logError(subject, error);
        this.#guard(message, () => listener(decode(schema, message.data)));
      },
    });
  }

  /**
   * Asks one of the subject's responders.
   * @throws GatewayError(`broker_unavailable`) when NATS is away, nobody responds, or not within `timeoutMs`
   */
  async request<S extends z.ZodType>(
    subject: string,
    question: object,
    answerSchema: S,
    timeoutMs: number,
  ): Promise<z.infer<S>> {
    if (!this.#isConnected)
      throw new GatewayError('broker_unavailable', 'The message broker is away.', { retryAfterMs: 1_000 });
    try {
      const answer = await this.#connection.request(subject, json.encode(question), { timeout: timeoutMs });
      return decode(answerSchema, answer.data);
    } catch (cause) {
      if (cause instanceof GatewayError) throw cause;
      const why = cause instanceof NatsError && cause.code === '503' ? 'Nobody answers' : 'No answer came in time';
      throw new GatewayError('broker_unavailable', `${why} on an internal service.`, { retryAfterMs: 1_000, cause });
    }
  }

  /**
   * Asks everybody who listens. Resolves when `onAnswer` says that it has heard enough, or after `timeoutMs`; what comes
   * later is dropped. At once when NATS is away: nobody would hear.
   */
  async ask<S extends z.ZodType>(
    subject: string,
    question: object,
    answerSchema: S,
    timeoutMs: number,
    onAnswer: (answer: z.infer<S>) => boolean,
  ): Promise<void> {
    if (!this.#isConnected) return;
    const inbox = createInbox();
    const { promise, resolve } = Promise.withResolvers<void>();
    const limit = setTimeout(resolve, timeoutMs);
    const answers = this.onMessage(inbox, answerSchema, (answer) => {
      if (onAnswer(answer)) resolve();
    });
    this.#connection.publish(subject, json.encode(question), { reply: inbox });
    await promise;
    clearTimeout(limit);
    answers.unsubscribe();
  }

  /** Answers what is asked of everybody: see `ask`. */
  onAsk<S extends z.ZodType>(
    subject: string,
    schema: S,
    respond: (question: z.infer<S>) => Promise<object>,
  ): Subscription {
    return this.onRequest(subject, undefined, schema, respond);
  }

  /** Answers requests; a question that breaks its schema, or a throw, is logged and gets no answer: the asker times out. */
  onRequest<S extends z.ZodType>(
    subject: string,
    queue: string | undefined,
    schema: S,
    respond: (question: z.infer<S>) => Promise<object>,
  ): Subscription {
    return this.#connection.subscribe(subject, {
      ...(queue === undefined ? {} : { queue }),
      callback: (error, message) => {
        if (error !== null) return this.#logError(subject, error);
        this.#guard(message, () => {
          respond(decode(schema, message.data)).then(
            (answer) => message.respond(json.encode(answer)),
            (failure: unknown) => this.#log.error({ subject, err: failure }, 'request failed'),
          );
        });
      },
    });
  }

  /** JetStream of this connection; `shared/journal.ts` writes and the ledger reads. */
  jetStream(): JetStreamClient {
    return this.#connection.jetstream();
  }

  jetStreamManager(): Promise<JetStreamManager> {
    return this.#connection.jetstreamManager();
  }

  /** A mirror of a key-value bucket, whose values keep one schema; it watches from its `start` on. */
  keyValue<S extends z.ZodType>(
    bucket: string,
    schema: S,
    onChange: (change: Change<z.infer<S>>) => void,
    { compareEveryMs }: { readonly compareEveryMs?: number | undefined } = {},
  ): KeyValueBucket<z.infer<S>> {
    const read = (bytes: Uint8Array): z.infer<S> => decode(schema, bytes);
    const deps = { connection: this, bucket, log: this.#log, read, onPoisoned: this.#onPoisoned, compareEveryMs };
    return new KeyValueBucket<z.infer<S>>(deps, onChange);
  }

  /** A round trip to the server: everything published before has reached it. */
  async flush(): Promise<void> {
    this.#outbox.flush();
    if (this.#isConnected && !this.isClosed) await this.#connection.flush();
  }

  /** Ends: what was posted is sent, subscriptions stop, the socket closes. Safe to call twice. */
  async close(): Promise<void> {
    if (this.#isClosing) return;
    this.#isClosing = true;
    this.#outbox.flush();
    if (this.#connection.isClosed()) return;
    if (this.#isConnected) await this.#connection.drain();
    else await this.#connection.close();
  }

  #publishBytes(subject: string, reply: string, bytes: Uint8Array): void {
    if (!this.#isConnected || this.#connection.isClosed()) return;
    try {
      this.#connection.publish(subject, bytes, reply === '' ? undefined : { reply });
    } catch (failure) {
      // A parcel that cannot go (beyond `max_payload`, or to nowhere) must not take the turn's others with it, nor the process.
      this.#log.error({ subject, bytes: bytes.length, err: failure }, 'parcel not sent');
    }
  }

  #guard(message: Msg, handle: () => void): void {
    try {
      handle();
    } catch (failure) {
      this.#report(message, failure);
    }
  }

  #report(message: Msg, failure: unknown): void {
    const isPoisoned = failure instanceof PoisonedMessage;
    if (isPoisoned) this.#onPoisoned(message.subject);
    // The bytes may hold a prompt: the log gets their number, never themselves.
    const seen = { subject: message.subject, bytes: message.data.length, err: failure };
    this.#log.error(seen, isPoisoned ? 'poisoned message dropped' : 'message handler failed');
  }

  #logError(subject: string, error: NatsError): void {
    this.#log.error({ subject, err: error }, 'subscription error');
  }

  async #watchConnection(): Promise<void> {
    for await (const status of this.#connection.status()) {
      if (status.type === Events.Disconnect) this.#setConnected(false);
      else if (status.type === Events.Reconnect) this.#setConnected(true);
      else if (status.type === Events.Error)
        this.#log.error({ error: JSON.stringify(status.data).slice(0, MAX_LOGGED_BYTES) }, 'nats error');
    }
    this.#setConnected(false);
  }

  #setConnected(isConnected: boolean): void {
    if (this.#isConnected === isConnected) return;
    this.#isConnected = isConnected;
    if (!isConnected) this.#outbox.discard();
    if (!this.#isClosing) this.#log.warn({ isConnected }, 'nats connection');
    for (const listener of this.#connectionListeners) listener(isConnected);
  }
}

/**
 * Reads a message's JSON and checks it.
 * @throws PoisonedMessage when it is not JSON or breaks the schema; its text names fields, never values
 */
export function decode<S extends z.ZodType>(schema: S, bytes: Uint8Array): z.infer<S> {
  return decodeText(schema, Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('utf8'));
}

/** As `decode`, of a message's text. */
export function decodeText<S extends z.ZodType>(schema: S, text: string): z.infer<S> {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    throw new PoisonedMessage('not JSON');
  }
  const read = readJson(schema, value);
  if ('fault' in read) throw new PoisonedMessage(read.fault);
  return read.value;
}

function isNoResponders(message: Msg): boolean {
  return message.data.length === 0 && message.headers?.code === NO_RESPONDERS;
}

/** The client takes credentials as options, users write them into the URL. */
function withCredentials(settings: ConnectionOptions, urls: string): ConnectionOptions {
  const first = urls.split(',')[0] ?? '';
  if (!first.includes('@')) return settings;
  const { username, password } = new URL(first.includes('://') ? first : `nats://${first}`);
  const user = decodeURIComponent(username);
  const servers = urls.split(',').map((url) => url.replace(/\/\/[^@/]*@/, '//'));
  return password === ''
    ? { ...settings, servers, token: user }
    : { ...settings, servers, user, pass: decodeURIComponent(password) };
}
