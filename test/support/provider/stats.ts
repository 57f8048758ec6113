/** What the provider counts; a test reconciles a gateway's ledger with it. */

export interface Counters {
  requests: number;
  /** ceil(characters of prompt text / 4), of requests that were answered with tokens. */
  promptTokens: number;
  /** Tokens that were sent: a cut or abandoned stream counts what it sent. */
  completionTokens: number;
  /** Streams sent to the last byte. */
  streamsFinished: number;
  /** Streams and bodies that the script ended early. */
  streamsCut: number;
  /** Requests whose client went away before the answer was complete. */
  abandoned: number;
}

/** A client that went away before its answer was complete. */
export interface Abandonment {
  /** Unix milliseconds, with fractions: comparable with `performance.timeOrigin + performance.now()` of any process. */
  readonly atMs: number;
  /** Milliseconds between the arrival of the request and the close. */
  readonly afterMs: number;
  readonly key: string;
  readonly model: string;
  /** Tokens sent before. */
  readonly tokens: number;
}

export interface ProviderStats {
  readonly total: Readonly<Counters>;
  /** By `label|key|model`: the script's `up`, the Authorization header without `Bearer `, the model as received. */
  readonly byLabelKeyModel: Readonly<Record<string, Readonly<Counters>>>;
  readonly byVerdict: Readonly<Record<string, number>>;
  /** Requests being answered now, and the most there were at once. */
  readonly active: number;
  readonly maxActive: number;
  readonly connectionsAccepted: number;
  readonly connectionsOpen: number;
  /** The last 1,000, oldest first. */
  readonly abandonments: readonly Abandonment[];
  /** CPU of the whole process since it started, seconds. */
  readonly cpuSeconds: number;
  readonly upSeconds: number;
}

export interface RecordedRequest {
  /** Unix milliseconds. */
  readonly atMs: number;
  readonly method: string;
  /** Path and query as received. */
  readonly path: string;
  /** Lower-case names; values of a repeated header joined by `, `. */
  readonly headers: Readonly<Record<string, string>>;
  /** The body's bytes after de-chunking. */
  readonly body: Buffer;
}

const MAX_ABANDONMENTS = 1_000;
/** Past this many different label|key|model the rest is counted under `(other)`. */
const MAX_SERIES = 10_000;

export const unixMs = (): number => performance.timeOrigin + performance.now();

const zero = (): Counters => ({
  requests: 0,
  promptTokens: 0,
  completionTokens: 0,
  streamsFinished: 0,
  streamsCut: 0,
  abandoned: 0,
});

export class Stats {
  total = zero();
  #series = new Map<string, Counters>();
  #verdicts = new Map<string, number>();
  #abandonments: Abandonment[] = [];
  #active = 0;
  #maxActive = 0;
  #accepted = 0;
  #open = 0;

  connectionOpened(): void {
    this.#accepted++;
    this.#open++;
  }

  connectionClosed(): void {
    this.#open--;
  }

  /** The counters of one label|key|model; made on first use. */
  series(name: string): Counters {
    let counters = this.#series.get(name);
    if (counters === undefined) {
      const bounded = this.#series.size < MAX_SERIES ? name : '(other)';
      counters = this.#series.get(bounded) ?? zero();
      this.#series.set(bounded, counters);
    }
    return counters;
  }

  begin(counters: Counters, verdict: string): void {
    this.total.requests++;
    counters.requests++;
    this.#verdicts.set(verdict, (this.#verdicts.get(verdict) ?? 0) + 1);
    if (++this.#active > this.#maxActive) this.#maxActive = this.#active;
  }

  end(): void {
    this.#active--;
  }

  tokens(counters: Counters, prompt: number, completion: number): void {
    this.total.promptTokens += prompt;
    this.total.completionTokens += completion;
    counters.promptTokens += prompt;
    counters.completionTokens += completion;
  }

  finished(counters: Counters): void {
    this.total.streamsFinished++;
    counters.streamsFinished++;
  }

  cut(counters: Counters): void {
    this.total.streamsCut++;
    counters.streamsCut++;
  }

  abandoned(counters: Counters, abandonment: Abandonment): void {
    this.total.abandoned++;
    counters.abandoned++;
    this.#abandonments.push(abandonment);
    if (this.#abandonments.length > MAX_ABANDONMENTS) this.#abandonments.shift();
  }

  /** Zeroes everything but what is true now: open connections and active requests. */
  reset(): void {
    this.total = zero();
    this.#series.clear();
    this.#verdicts.clear();
    this.#abandonments = [];
    this.#maxActive = this.#active;
    this.#accepted = this.#open;
  }

  snapshot(): ProviderStats {
    const cpu = process.cpuUsage();
    return {
      total: { ...this.total },
      byLabelKeyModel: Object.fromEntries([...this.#series].map(([name, counters]) => [name, { ...counters }])),
      byVerdict: Object.fromEntries(this.#verdicts),
      active: this.#active,
      maxActive: this.#maxActive,
      connectionsAccepted: this.#accepted,
      connectionsOpen: this.#open,
      abandonments: [...this.#abandonments],
      cpuSeconds: (cpu.user + cpu.system) / 1e6,
      upSeconds: process.uptime(),
    };
  }
}

/** A ring of the last requests. */
export class Recorder {
  readonly capacity: number;
  #list: RecordedRequest[] = [];

  constructor(capacity: number) {
    this.capacity = capacity;
  }

  add(request: RecordedRequest): void {
    this.#list.push(request);
    if (this.#list.length > this.capacity) this.#list.shift();
  }

  list(): readonly RecordedRequest[] {
    return [...this.#list];
  }

  clear(): void {
    this.#list = [];
  }
}
