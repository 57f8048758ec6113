/** The two ways to load: closed (a fixed number of callers) and open (arrivals on a schedule). */
import { Worker } from 'node:worker_threads';
import { Client } from './client.ts';
import type { Load } from './options.ts';
import type { RequestBytes } from './request.ts';
import { Tally } from './tally.ts';

export interface Phase {
  readonly tally: Tally;
  readonly seconds: number;
}

/** A dead server is not spun on. */
const PAUSE_AFTER_FAILURE_MS = 5;
const TIMEOUT_SWEEP_MS = 50;

/** Connections live on from warm-up to measurement. */
export class Clients {
  readonly list: Client[] = [];
  readonly #load: Load;
  readonly #request: RequestBytes;
  readonly #sweep: NodeJS.Timeout;

  constructor(load: Load, request: RequestBytes) {
    this.#load = load;
    this.#request = request;
    this.#sweep = setInterval(() => {
      const now = performance.now();
      for (const client of this.list) client.checkTimeout(now);
    }, TIMEOUT_SWEEP_MS);
  }

  add(): Client {
    const client = new Client(this.#load, this.#request);
    this.list.push(client);
    return client;
  }

  close(): void {
    clearInterval(this.#sweep);
    for (const client of this.list) client.close();
  }
}

/** Each of `-c` connections sends its next request when its last is answered, for `durationMs` or `requests` in all. */
export function closedLoop(clients: Clients, load: Load, durationMs: number, requests: number): Promise<Phase> {
  const tally = new Tally();
  while (clients.list.length < load.connections) clients.add();
  const startedAt = performance.now();
  const endsAt = durationMs > 0 ? startedAt + durationMs : Infinity;
  let left = requests > 0 ? requests : Infinity;
  let running = clients.list.length;
  return new Promise((resolve) => {
    const next = (client: Client): void => {
      const now = performance.now();
      if (left <= 0 || now >= endsAt) {
        if (--running === 0) resolve({ tally, seconds: (now - startedAt) / 1000 });
        return;
      }
      left--;
      client.send(now, now, tally, onDone);
    };
    const onDone = (client: Client, isAnswered: boolean): void => {
      if (isAnswered) next(client);
      else setTimeout(next, PAUSE_AFTER_FAILURE_MS, client);
    };
    for (const [index, client] of clients.list.entries()) {
      if (load.rampMs === 0) next(client);
      else setTimeout(next, (load.rampMs * index) / clients.list.length, client);
    }
  });
}

/**
 * Arrivals at `-rate` a second. A request is due on the schedule whether or not a connection is free, and its latency
 * counts from then: a stall is charged to every request it delays.
 */
export async function openLoop(clients: Clients, load: Load, durationMs: number, requests: number): Promise<Phase> {
  const tally = new Tally();
  const total = requests > 0 ? requests : Math.floor((load.rate * durationMs) / 1000);
  const opened = Math.min(load.maxConnections, Math.max(8, Math.floor(load.rate / 20)));
  const connecting: Promise<void>[] = [];
  while (clients.list.length < opened) connecting.push(clients.add().connect());
  await Promise.all(connecting);
  const idle = [...clients.list];
  const ticker = await startTicker();

  const startedAt = performance.now() + 5;
  const gapMs = 1000 / load.rate;
  let arrived = 0;
  let sent = 0;
  let done = 0;
  let scheduleEndedAt = startedAt;
  return await new Promise<Phase>((resolve) => {
    const drain = (): void => {
      while (sent < arrived) {
        const client = idle.pop() ?? (clients.list.length < load.maxConnections ? clients.add() : undefined);
        if (client === undefined) return;
        const now = performance.now();
        const dueAt = startedAt + sent++ * gapMs;
        tally.lag.add(now - dueAt);
        client.send(dueAt, now, tally, onDone);
      }
    };
    const onDone = (client: Client): void => {
      idle.push(client);
      done++;
      if (sent < arrived) drain();
      if (done === total) finish();
    };
    const finish = (): void => {
      ticker.stop();
      const now = performance.now();
      const isTailShort = now - scheduleEndedAt < 200; // the tail of the last answers is not part of the rate
      resolve({ tally, seconds: ((isTailShort ? scheduleEndedAt : now) - startedAt) / 1000 });
    };
    const onTick = (): void => {
      const now = performance.now();
      arrived = Math.min(total, Math.floor((now - startedAt) / gapMs) + 1);
      drain();
      if (arrived === total) scheduleEndedAt = Math.max(now, startedAt + total * gapMs);
      else ticker.wakeAt(startedAt + arrived * gapMs, onTick);
    };
    ticker.wakeAt(startedAt, onTick);
  });
}

interface Ticker {
  /** Calls back at `atMs` of performance.now(), within about 0.1 ms; one wake at a time. */
  wakeAt(atMs: number, callback: () => void): void;
  stop(): void;
}

/**
 * Node's timers are a millisecond late on average, as much as the latencies to be measured; a thread that sleeps on a
 * futex is good to 0.1 ms and costs about 20 µs a wake.
 */
async function startTicker(): Promise<Ticker> {
  const shared = new Int32Array(new SharedArrayBuffer(4));
  const worker = new Worker(new URL('./ticker.ts', import.meta.url), { workerData: shared });
  let callback = (): void => undefined;
  await new Promise((resolve) => worker.once('message', resolve));
  worker.on('message', () => callback());
  return {
    wakeAt: (atMs, then) => {
      callback = then;
      worker.postMessage(performance.timeOrigin + atMs);
    },
    stop: () => void worker.terminate(),
  };
}
