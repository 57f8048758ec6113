import type { JetStreamClient, JetStreamManager, KV, KvEntry, QueuedIterator } from 'nats';
import { systemClock } from './clock.ts';
import { GatewayError } from './errors.ts';
import type { Log } from './log.ts';
import { jetStreamCodeOf, STREAM_NAME_IN_USE, STREAM_NOT_FOUND, unlessNotFound } from './jetstream-failure.ts';
import { withReplicas } from './replicas.ts';

/** Beyond it the server refuses new values; those there are can still be removed. */
const MAX_BUCKET_BYTES = 4 * 2 ** 20;
const MAX_VALUE_BYTES = 8 * 1024;
const REQUEST_TIMEOUT_MS = 2_000;
/** The client's watch can wait for ever when the connection breaks in its first moments. */
const SNAPSHOT_WITHIN_MS = 5_000;
const RETRY_AFTER_MS = 1_000;
/** Nobody's start waits longer for the first values. */
const START_WITHIN_MS = 2_000;
const COMPARE_EVERY_MS = 10_000;
/** The mark of a removed key is for those who were away; after this long nobody is. */
const FORGET_REMOVED_MS = 60 * 60_000;

/** What a bucket needs of the connection: `Bus` is one. */
export interface KeyValueConnection {
  readonly isConnected: boolean;
  readonly isClosed: boolean;
  readonly isClustered: boolean;
  onConnection(listener: (isConnected: boolean) => void): { unsubscribe(): void };
  jetStream(): JetStreamClient;
  jetStreamManager(): Promise<JetStreamManager>;
}

export interface KeyValueDeps<T> {
  readonly connection: KeyValueConnection;
  /** Made when it is not there. */
  readonly bucket: string;
  readonly log: Log;
  /** @throws PoisonedMessage when the bytes are no value of this bucket; the key is taken for one that is not there */
  readonly read: (bytes: Uint8Array) => T;
  /** A value that could not be read. */
  readonly onPoisoned: (subject: string) => void;
  /** How often the bucket's last revision is asked for: the belt, should a watch have died without a word. Default 10 s. */
  readonly compareEveryMs?: number | undefined;
}

export interface Change<T> {
  readonly key: string;
  /** undefined: it was removed. */
  readonly value: T | undefined;
}

/**
 * A small bucket of JetStream's key-value store, mirrored in memory. The client's own watch does not outlive a server: it
 * begins anew after ten seconds of missed heartbeats, or ends when that fails. So a lost connection always begins a new
 * one, which brings all values first, and each ten seconds the bucket's revision is compared. While it cannot be
 * reached, the mirror says what it said.
 */
export class KeyValueBucket<T> {
  readonly #deps: KeyValueDeps<T>;
  readonly #onChange: (change: Change<T>) => void;
  /** `value` undefined: removed, or unreadable. */
  readonly #mirror = new Map<string, { readonly revision: number; readonly value: T | undefined }>();
  /** The last that the mirror knows of. */
  #revision = 0;
  #isKnown = false;
  #isStopped = false;
  #hasFailed = false;
  #entries: QueuedIterator<KvEntry> | undefined;
  #wake = (): void => undefined;
  #told: ReturnType<KeyValueConnection['onConnection']> | undefined;
  #comparing: NodeJS.Timeout | undefined;

  constructor(deps: KeyValueDeps<T>, onChange: (change: Change<T>) => void) {
    this.#deps = deps;
    this.#onChange = onChange;
  }

  /** Whether the mirror has held all values once. */
  get isKnown(): boolean {
    return this.#isKnown;
  }

  /** Resolves when all values are there, or it is clear that they cannot be had now; then it goes on trying. */
  start(): Promise<void> {
    this.#told = this.#deps.connection.onConnection((isConnected) => {
      if (isConnected) this.#restart();
    });
    this.#comparing = setInterval(() => void this.#compare(), this.#deps.compareEveryMs ?? COMPARE_EVERY_MS);
    return new Promise((resolve) => {
      const limit = setTimeout(resolve, START_WITHIN_MS);
      void this.#run(() => {
        clearTimeout(limit);
        resolve();
      });
    });
  }

  stop(): void {
    this.#isStopped = true;
    this.#told?.unsubscribe();
    clearInterval(this.#comparing);
    this.#restart();
  }

  /** Seen by this mirror at once. @throws GatewayError(`broker_unavailable`) */
  async put(key: string, value: T & object): Promise<void> {
    const revision = await this.#ask(async () => (await this.#open()).put(key, JSON.stringify(value)));
    this.#apply(key, revision, value);
  }

  /** Seen by this mirror at once. @throws GatewayError(`broker_unavailable`) */
  async delete(key: string): Promise<void> {
    await this.#ask(async () => (await this.#open()).delete(key));
    // The server tells no revision for it: the next one that the watch brings is surely larger.
    this.#apply(key, (this.#mirror.get(key)?.revision ?? 0) + 0.5, undefined);
  }

  async #ask<R>(work: () => Promise<R>): Promise<R> {
    const details = { retryAfterMs: RETRY_AFTER_MS };
    if (!this.#deps.connection.isConnected)
      throw new GatewayError('broker_unavailable', 'The message broker is away.', details);
    try {
      return await work();
    } catch (cause) {
      throw new GatewayError('broker_unavailable', 'The message broker does not keep it now.', { ...details, cause });
    }
  }

  /** Watches until stopped; each turn begins with everything that there is. */
  async #run(onFirst: () => void): Promise<void> {
    while (!this.#isStopped && !this.#deps.connection.isClosed) {
      try {
        if (!this.#deps.connection.isConnected) throw new Error('not connected');
        await this.#watch(onFirst);
      } catch (failure) {
        this.#note(failure);
      }
      onFirst();
      // When the connection is lost, its return wakes us.
      if (!this.#isStopped && this.#hasFailed) await this.#pause();
    }
  }

  async #watch(onFirst: () => void): Promise<void> {
    const kv = await this.#open();
    const manager = await this.#deps.connection.jetStreamManager();
    const { state } = await manager.streams.info(streamOf(this.#deps.bucket));
    // Made anew, its revisions begin anew.
    if (state.last_seq < this.#revision)
      for (const [key, { value }] of this.#mirror) this.#mirror.set(key, { revision: 0, value });
    this.#revision = state.last_seq;
    const seen = new Set<string>();
    let isComplete = false;
    const complete = (): void => {
      isComplete = true;
      // What we put since has a larger number: the watch will bring it.
      for (const [key, { revision }] of this.#mirror)
        if (!seen.has(key) && revision <= state.last_seq) this.#remove(key);
      this.#isKnown = true;
      this.#hasFailed = false;
      onFirst();
    };
    const entries = await kv.watch({ initializedFn: complete });
    this.#entries = entries;
    if (this.#isStopped) entries.stop();
    const limit = setTimeout(() => !isComplete && entries.stop(), SNAPSHOT_WITHIN_MS);
    try {
      for await (const entry of entries) {
        if (!isComplete) seen.add(entry.key);
        this.#take(entry);
        if (!isComplete) await this.#forgetRemoved(manager, entry);
      }
    } finally {
      clearTimeout(limit);
      this.#entries = undefined;
    }
    if (!isComplete && !this.#isStopped) throw new Error('the values did not come in time');
  }

  #take({ key, value, operation, revision }: KvEntry): void {
    this.#revision = Math.max(this.#revision, revision);
    if (operation !== 'PUT') return this.#apply(key, revision, undefined);
    const { read, onPoisoned, bucket, log } = this.#deps;
    try {
      this.#apply(key, revision, read(value));
    } catch (failure) {
      onPoisoned(`$KV.${bucket}`);
      log.error({ bucket, revision, bytes: value.length, err: failure }, 'poisoned value passed over');
      this.#apply(key, revision, undefined);
    }
  }

  /** What is older than what is known comes late, and is no news. */
  #apply(key: string, revision: number, value: T | undefined): void {
    const known = this.#mirror.get(key);
    if (known !== undefined && revision <= known.revision) return;
    this.#mirror.set(key, { revision, value });
    if (value !== undefined || known?.value !== undefined) this.#onChange({ key, value });
  }

  #remove(key: string): void {
    const known = this.#mirror.get(key);
    this.#mirror.delete(key);
    if (known?.value !== undefined) this.#onChange({ key, value: undefined });
  }

  /** Its mark alone: a value that was put there since has a larger number. */
  async #forgetRemoved(manager: JetStreamManager, { key, operation, created, revision }: KvEntry): Promise<void> {
    if (operation === 'PUT' || systemClock.epochMs() - created.getTime() < FORGET_REMOVED_MS) return;
    const { bucket } = this.#deps;
    await manager.streams.purge(streamOf(bucket), { filter: `$KV.${bucket}.${key}`, seq: revision + 1 });
  }

  async #compare(): Promise<void> {
    if (this.#entries === undefined || !this.#deps.connection.isConnected) return;
    try {
      const manager = await this.#deps.connection.jetStreamManager();
      const { state } = await manager.streams.info(streamOf(this.#deps.bucket));
      if (state.last_seq !== this.#revision) this.#restart();
    } catch (failure) {
      // Away for the moment, which the next look may show to be over; or gone, and made anew.
      if (jetStreamCodeOf(failure) === STREAM_NOT_FOUND) this.#restart();
    }
  }

  #restart(): void {
    this.#entries?.stop();
    this.#wake();
  }

  #pause(): Promise<void> {
    return new Promise((resolve) => {
      const timer = setTimeout(resolve, RETRY_AFTER_MS);
      this.#wake = () => {
        clearTimeout(timer);
        resolve();
      };
    });
  }

  /** Once for each time that it is away. */
  #note(failure: unknown): void {
    const { bucket, log } = this.#deps;
    if (!this.#hasFailed && !this.#isStopped) log.warn({ bucket, err: failure }, 'key-value bucket cannot be read');
    this.#hasFailed = true;
  }

  async #open(): Promise<KV> {
    const { connection, bucket } = this.#deps;
    const name = streamOf(bucket);
    const manager = await connection.jetStreamManager();
    const info = await unlessNotFound(manager.streams.info(name));
    const views = connection.jetStream().views;
    const options = {
      history: 1,
      max_bytes: MAX_BUCKET_BYTES,
      maxValueSize: MAX_VALUE_BYTES,
      timeout: REQUEST_TIMEOUT_MS,
    };
    if (info !== undefined) {
      const has = info.config.num_replicas;
      await withReplicas(connection, has, async (replicas) => {
        if (replicas !== has) await manager.streams.update(name, { ...info.config, num_replicas: replicas });
      });
      return views.kv(bucket, options);
    }
    return withReplicas(connection, 1, (replicas) => views.kv(bucket, { ...options, replicas })).catch(
      (failure: unknown) => {
        // Another process made it meanwhile, in another number of copies.
        if (jetStreamCodeOf(failure) === STREAM_NAME_IN_USE) return views.kv(bucket, options);
        throw failure;
      },
    );
  }
}

/** The stream that holds a bucket, by the convention of all NATS clients. */
function streamOf(bucket: string): string {
  return `KV_${bucket}`;
}
