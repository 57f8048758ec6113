import type { ServerResponse } from 'node:http';
import { Registry } from 'prom-client';
import type { Bus } from '../../../shared/bus.ts';
import { Catalog } from '../../../shared/catalog.ts';
import type { RoutePolicy } from '../../../shared/config.ts';
import { DEFAULT_POLICY } from '../../../shared/config.ts';
import { parseOpenAiRequest } from '../../../shared/dialects/openai.ts';
import type { ErrorCode } from '../../../shared/errors.ts';
import { GatewayError } from '../../../shared/errors.ts';
import type { UsageJournal } from '../../../shared/journal.ts';
import { createLog } from '../../../shared/log.ts';
import type { AttemptEnd } from '../../../shared/messages/attempt.ts';
import { Envelope } from '../../../shared/messages/envelope.ts';
import { FrameType } from '../../../shared/messages/frame.ts';
import { TaskHead } from '../../../shared/messages/task.ts';
import { loadPriceTable } from '../../../shared/pricing.ts';
import type { AnsweringServer } from '../../../test/support/answering-server.ts';
import { testConfig } from '../../../test/support/gateway.ts';
import type { ActualUse } from '../core/limit-terms.ts';
import type { Cover } from '../budgets/cover.ts';
import { SlotsAhead } from '../core/slots-ahead.ts';
import { TranscriptRoom } from '../core/transcript.ts';
import { Exchange } from '../exchange.ts';
import { Inbox } from '../inbox.ts';
import { IngressMetrics } from '../metrics.ts';
import { Outgoing } from '../outgoing.ts';
import { RouteBook } from '../route-terms.ts';
import { Routers } from '../routers.ts';
import { Uploads } from '../uploads.ts';
import { Witness } from '../witness.ts';
import { WorkerWatch } from '../worker-watch.ts';

/** Routers and workers are played by the test: it reads what an exchange says to them, and answers. */
export interface Said {
  readonly to: string;
  readonly type: number;
  readonly stream: number;
  readonly text: string;
}

const USAGE = { inputTokens: 1, outputTokens: 1, cachedInputTokens: 0, reasoningTokens: 0 };
export const END: AttemptEnd = {
  ...{ finish: 'stop', usage: USAGE, isEstimated: false, costNanoUsd: 5, ttftMs: 1, durationMs: 2 },
};
const ATTRIBUTION = {
  ...{ organisation: null, team: null, user: null, keyId: 'k', feature: null, session: null, tags: {} },
};
export const HEAD = { contentType: 'text/event-stream', headers: {}, inputTokensEstimate: 1 };

/** One exchange, and everything around it that it talks to. */
export class World {
  now = 1_000;
  readonly said: Said[] = [];
  readonly registry = new Registry();
  readonly exchange: Exchange;
  readonly answer: Promise<Response>;
  readonly leave: () => void;
  readonly routes: RouteBook;
  /** What the request was said to have used, each time that it was said. */
  readonly used: ActualUse[] = [];
  readonly #sequences = new Map<number, number>();
  #deliver: (type: number, stream: number, sequence: number, payload: Buffer) => void = () => undefined;

  static async begin(
    server: AnsweringServer,
    policy: Partial<RoutePolicy> = {},
    stream = false,
    cover?: Cover,
  ): Promise<World> {
    const abort = new AbortController();
    const answered = Promise.withResolvers<Response>();
    const response = await new Promise<ServerResponse>((resolve) => {
      server.onRequest = resolve;
      fetch(server.url, { signal: abort.signal }).then(answered.resolve, answered.reject);
    });
    answered.promise.catch(() => undefined);
    const leave = (): void => abort.abort();
    return new World({ ...DEFAULT_POLICY, ...policy }, stream, response, answered.promise, leave, cover);
  }

  private constructor(
    policy: RoutePolicy,
    isStream: boolean,
    response: ServerResponse,
    answer: Promise<Response>,
    leave: () => void,
    cover: Cover | undefined,
  ) {
    this.answer = answer;
    this.leave = leave;
    const clock = { now: () => this.now, epochMs: () => this.now };
    const post = (to: string, _reply: string, type: number, at: number, _sequence: number, head: string): void => {
      this.said.push({ to, type, stream: at, text: head });
    };
    const bus = {
      isConnected: true,
      post,
      postNumber: (to: string, _reply: string, type: number, at: number) =>
        this.said.push({ to, type, stream: at, text: '' }),
      onFrames: (_subject: string, onFrame: unknown) =>
        (this.#deliver = (type, at, sequence, payload) =>
          (onFrame as (...frame: unknown[]) => void)(type, at, sequence, payload, '', 'sluice.in.i.peer')),
    } as unknown as Bus;
    const config = testConfig(
      'providers: { a: { base_url: "http://a/v1", models: { m: {} } }, b: { base_url: "http://b/v1", models: { m: {} } } }\nroutes: { r: { targets: [a/m, b/m] } }',
    );
    const routes = config.routes.map((route) => ({ ...route, policy }));
    const catalog = new Catalog({ ...config, routes }, loadPriceTable());
    this.routes = new RouteBook(catalog);
    const journal = { record: () => undefined } as unknown as UsageJournal;
    const uploads = new Uploads(bus);
    const outgoing = new Outgoing(bus, 'i', uploads);
    const ignore = (): void => undefined;
    const inbox = new Inbox({ bus, ingressId: 'i', outgoing, onPeerGone: ignore, onAheadRecalled: ignore });
    inbox.listen();
    const routers = new Routers(clock, ignore);
    routers.onBeat({ v: 1, router: 'rtr', isDraining: false, spent: [], waiting: {} });
    const body = `{"model":"r","messages":[{"role":"user","content":"?"}],"stream":${isStream}}`;
    this.exchange = new Exchange(
      {
        ...{ catalog, clock, inbox, outgoing, uploads, routers, log: createLog('silent', 'test'), keepAliveMs: 60_000 },
        workers: new WorkerWatch({ clock, ping: ignore, onGone: ignore }),
        witness: new Witness({ journal, catalog, clock, ingressId: 'i' }),
        ahead: new SlotsAhead(),
        routes: this.routes,
        transcripts: new TranscriptRoom(1024 * 1024),
        metrics: new IngressMetrics(this.registry, () => 1),
        random: () => 0.5,
      },
      {
        request: {
          ...parseOpenAiRequest('chat', Buffer.from(body)),
          ...{ id: 'req_1', principal: { keyId: 'k', keyName: 'k', team: null }, traceparent: undefined },
          ...{ receivedAt: this.now, deadlineEpochMs: this.now + 60_000, lane: 'interactive', via: undefined },
          ...{ overrides: undefined, sketch: undefined, sluice: undefined, metadata: undefined, prompt: undefined },
          ...{ nameKey: 'r', servedAs: undefined, mustBePriced: false, attribution: ATTRIBUTION },
        },
        ...{
          account: { admittedEpochMs: 1 },
          route: 'r',
          cover,
          outputLimitsAt: cover && {},
          headers: {},
          over: (used) => this.used.push({ ...used }),
        },
      },
      response,
      ignore,
    );
    this.exchange.start();
  }

  /** What was said of this type, oldest first. */
  of(type: number): Said[] {
    return this.said.filter((said) => said.type === type);
  }

  asks(): Envelope[] {
    return this.of(FrameType.ask).map(({ text }) => Envelope.parse(JSON.parse(text)));
  }

  tasks(): TaskHead[] {
    return this.of(FrameType.open).map(({ text }) => TaskHead.parse(JSON.parse(text)));
  }

  /** Answers the last question with a place; the stream's number. */
  place(deployment: string, fields: object = {}): number {
    const stream = this.of(FrameType.ask).at(-1)?.stream ?? 0;
    const pool = deployment.slice(0, 1);
    const placed = { v: 1, deployment, pool, worker: `wrk-${pool}`, router: 'rtr', slot: 1, route: 'r', queueMs: 0 };
    this.send(stream, FrameType.placed, { ...placed, reason: 'ordered', ...fields });
    return stream;
  }

  refuse(code: ErrorCode, isExhausted: boolean): void {
    const stream = this.of(FrameType.ask).at(-1)?.stream ?? 0;
    this.send(stream, FrameType.refused, { v: 1, error: new GatewayError(code, 'refused').toWire(), isExhausted });
  }

  send(stream: number, type: number, message: object | string): void {
    const isOfWorker = ![FrameType.placed, FrameType.refused, FrameType.waiting].includes(type as 0x50);
    const sequence = isOfWorker ? (this.#sequences.get(stream) ?? 0) : 0;
    if (isOfWorker) this.#sequences.set(stream, sequence + 1);
    const text = typeof message === 'string' ? message : JSON.stringify(message);
    const count = type === FrameType.data ? Buffer.from([0, 0, 0, 1]) : Buffer.alloc(0);
    this.#deliver(type, stream, sequence, Buffer.concat([count, Buffer.from(text)]));
  }

  fail(stream: number, code: ErrorCode, more: object = {}): void {
    this.send(stream, FrameType.failed, { error: new GatewayError(code, 'failed').toWire(), costNanoUsd: 0, ...more });
  }

  whole(stream: number, body: string): void {
    const plain = { bodyBytes: body.length, end: END };
    this.send(
      stream,
      FrameType.whole,
      `${JSON.stringify({ ...HEAD, contentType: 'application/json', plain })}\n${body}`,
    );
  }

  pass(ms: number): void {
    this.now += ms;
    this.exchange.check(this.now);
  }

  async metric(name: string): Promise<unknown> {
    return (await this.registry.getSingleMetric(name)?.get())?.values.map(({ labels, value }) => ({
      ...labels,
      value,
    }));
  }
}
