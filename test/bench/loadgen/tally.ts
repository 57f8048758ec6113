/** What a phase (warm-up, measurement) of a load collects, and the line it is printed as. */
import type { Load } from './options.ts';
import { Samples, round4 } from './samples.ts';
import type { Distribution } from './samples.ts';

export interface StreamResult {
  /** First data event and first content token, from the start of the request. */
  readonly ttft_ms: Distribution | null;
  readonly ttfc_ms: Distribution | null;
  /** Between content events. */
  readonly gap_ms: Distribution | null;
  /** From the provider's stamp to here; needs `ts=1`. */
  readonly transit_ms: Distribution | null;
  readonly tokens: number;
  readonly missing: number;
  readonly dup: number;
  readonly disorder: number;
  /** Streams with every token once, in order, and a proper end of the body; counted when `expect` is set. */
  readonly complete: number;
  /** Events that held more than one token. */
  readonly coalesced_events: number;
  /** Answers without [DONE] or message_stop. */
  readonly no_end_event: number;
  readonly tokens_per_s: number;
}

/** The names of the Go generator's line. */
export interface LoadResult {
  readonly label: string;
  readonly url: string;
  readonly mode: 'open' | 'closed';
  readonly c?: number;
  readonly rate?: number;
  readonly dur_s: number;
  readonly sent: number;
  readonly ok: number;
  readonly errors: Readonly<Record<string, number>>;
  readonly status: Readonly<Record<string, number>>;
  readonly rps: number;
  /** Of successful requests; open loop: from the due time. */
  readonly lat_ms: Distribution | null;
  /** Open loop: how late requests left. */
  readonly send_lag_ms?: Distribution | null;
  readonly bytes: number;
  readonly loadgen_cpu_s: number;
  /** Connections opened since the start, warm-up included. */
  readonly dials: number;
  readonly stream?: StreamResult;
  readonly examples?: readonly string[];
}

export class Tally {
  readonly latency = new Samples();
  readonly lag = new Samples();
  readonly ttft = new Samples();
  readonly ttfc = new Samples();
  readonly gap = new Samples();
  readonly transit = new Samples();
  readonly errors = new Map<string, number>();
  readonly status = new Map<number, number>();
  readonly examples: string[] = [];
  sent = 0;
  ok = 0;
  bytes = 0;
  tokens = 0;
  missing = 0;
  dup = 0;
  disorder = 0;
  complete = 0;
  coalesced = 0;
  noEnd = 0;

  fail(kind: string, detail: string): void {
    this.errors.set(kind, (this.errors.get(kind) ?? 0) + 1);
    if (detail !== '' && this.examples.length < 5) this.examples.push(`${kind}: ${detail.slice(0, 300)}`);
  }

  result(load: Load, seconds: number, cpuSeconds: number, dials: number): LoadResult {
    const isOpen = load.rate > 0;
    return {
      label: load.label,
      url: load.url,
      ...(isOpen ? { mode: 'open', rate: load.rate } : { mode: 'closed', c: load.connections }),
      dur_s: round4(seconds),
      sent: this.sent,
      ok: this.ok,
      errors: Object.fromEntries(this.errors),
      status: Object.fromEntries(this.status),
      rps: round4(this.ok / seconds),
      lat_ms: this.latency.distribution(),
      ...(isOpen ? { send_lag_ms: this.lag.distribution() } : {}),
      bytes: this.bytes,
      loadgen_cpu_s: round4(cpuSeconds),
      dials,
      ...(load.stream ? { stream: this.#stream(seconds) } : {}),
      ...(load.samples ? { examples: this.examples } : {}),
    };
  }

  #stream(seconds: number): StreamResult {
    return {
      ttft_ms: this.ttft.distribution(),
      ttfc_ms: this.ttfc.distribution(),
      gap_ms: this.gap.distribution(),
      transit_ms: this.transit.distribution(),
      tokens: this.tokens,
      missing: this.missing,
      dup: this.dup,
      disorder: this.disorder,
      complete: this.complete,
      coalesced_events: this.coalesced,
      no_end_event: this.noEnd,
      tokens_per_s: round4(this.tokens / seconds),
    };
  }
}
