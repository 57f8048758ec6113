import { randomUUID } from 'node:crypto';
import { createServer } from 'node:http';
import type { IncomingMessage, Server, ServerResponse } from 'node:http';
import type { Clock } from '../../../shared/clock.ts';
import type { Log } from '../../../shared/log.ts';
import { SIMULATED } from '../../../shared/providers.ts';
import { chatCompletion, chatEvents } from './chat-format.ts';
import { readChatRequest } from './chat-request.ts';
import { compose } from './compose.ts';
import { countInputs, embeddingsAnswer, readEmbeddingsRequest } from './embeddings.ts';
import { REALISTIC, drawTempo } from './pace.ts';
import type { Pace } from './pace.ts';
import { PacedAnswer } from './paced-answer.ts';
import { readJson } from './read-json.ts';
import { Refusal, modelNotFound } from './refusal.ts';
import { Ticker } from './ticker.ts';
import { loadTokenizer } from './tokens.ts';

const JSON_TYPE = 'application/json';
const SSE_TYPE = 'text/event-stream; charset=utf-8';
/** Longer than any client keeps an idle connection, so that none is closed in the moment of its use. */
const KEEP_ALIVE_MS = 120_000;

export interface SimulatedProviderOptions {
  readonly clock: Clock;
  readonly log?: Log | undefined;
  /** `INSTANT` in tests. */
  readonly pace?: Pace | undefined;
}

export interface SimulatedProvider {
  /** `http://127.0.0.1:<port>/v1` */
  readonly baseUrl: string;
  /** Answers being sent or waiting for their time. */
  readonly openAnswers: number;
  /** Cuts off what is under way, as a provider that dies: no answer looks complete that is not. */
  stop(): Promise<void>;
}

/** The built-in provider: OpenAI's chat completions and embeddings over HTTP on the loopback, without any model. */
export async function startSimulatedProvider(options: SimulatedProviderOptions): Promise<SimulatedProvider> {
  const { clock, log, pace = REALISTIC } = options;
  const ticker = new Ticker(clock);
  const desk = new Desk(clock, ticker, pace, log);
  const server = createServer({ keepAliveTimeout: KEEP_ALIVE_MS }, (request, response) => {
    void desk.answer(request, response);
  });
  const port = await listen(server);
  // Loading holds up the event loop: whoever waits for the port goes on first. A request that comes meanwhile waits.
  setImmediate(() => {
    loadTokenizer().catch((failure: unknown) => log?.error({ err: failure }, 'the tokenizer did not load'));
  });
  return {
    baseUrl: `http://127.0.0.1:${port}/v1`,
    get openAnswers() {
      return ticker.size;
    },
    stop: () => close(server),
  };
}

/** One request, from its first line to the answer handed to the ticker. */
class Desk {
  readonly #clock: Clock;
  readonly #ticker: Ticker;
  readonly #pace: Pace;
  readonly #log: Log | undefined;

  constructor(clock: Clock, ticker: Ticker, pace: Pace, log: Log | undefined) {
    this.#clock = clock;
    this.#ticker = ticker;
    this.#pace = pace;
    this.#log = log;
  }

  async answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    response.on('error', () => response.destroy());
    response.setHeader('x-request-id', `req_simulated_${randomUUID().replaceAll('-', '')}`);
    try {
      await this.#route(request, response);
    } catch (failure) {
      this.#refuse(request, response, failure);
    }
  }

  async #route(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const path = (request.url ?? '').split('?', 1)[0] ?? '';
    const route = `${request.method} ${path}`;
    if (route === 'POST /v1/chat/completions') return this.#chat(request, response);
    if (route === 'POST /v1/embeddings') return this.#embeddings(request, response);
    if (route === 'GET /v1/models') return sendJson(response, 200, modelList());
    request.resume();
    throw new Refusal(404, `Invalid URL (${route.slice(0, 200)})`, { code: 'unknown_url' });
  }

  async #chat(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const receivedAt = this.#clock.now();
    const chat = readChatRequest(await readJson(request));
    checkModel(chat.model);
    const answer = compose(chat, await loadTokenizer(), this.#clock.epochMs());
    const longest = answer.choices.reduce((most, { tokens }) => Math.max(most, tokens), 0);
    const tempo = drawTempo(this.#pace, longest, Math.random);
    new PacedAnswer({
      ticker: this.#ticker,
      response,
      headers: { 'content-type': chat.stream ? SSE_TYPE : JSON_TYPE, 'cache-control': 'no-cache' },
      startAt: receivedAt + (chat.stream ? tempo.firstTokenMs : tempo.totalMs),
      nextMs: chat.stream ? tempo.nextTokenMs : atOnce,
      beats: chat.stream ? chatEvents(answer, chat.includeUsage) : [chatCompletion(answer)].values(),
    }).start();
  }

  async #embeddings(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const receivedAt = this.#clock.now();
    const embeddings = readEmbeddingsRequest(await readJson(request));
    checkModel(embeddings.model);
    const tokens = countInputs(embeddings.inputs, await loadTokenizer());
    new PacedAnswer({
      ticker: this.#ticker,
      response,
      headers: { 'content-type': JSON_TYPE },
      startAt: receivedAt + drawTempo(this.#pace, 0, Math.random).firstTokenMs,
      nextMs: atOnce,
      beats: embeddingsAnswer(embeddings, tokens),
    }).start();
  }

  #refuse(request: IncomingMessage, response: ServerResponse, failure: unknown): void {
    if (response.destroyed) return;
    if (failure instanceof Refusal) {
      // A body that was not read to its end leaves the connection in no state to be used again.
      if (!request.complete) response.setHeader('connection', 'close');
      return sendJson(response, failure.status, failure.toJson());
    }
    this.#log?.error({ err: failure }, 'the simulated provider failed');
    if (response.headersSent) response.destroy();
    else sendJson(response, 500, new Refusal(500, 'The simulated provider met an unexpected error.').toJson());
  }
}

function atOnce(): number {
  return 0;
}

function checkModel(model: string): void {
  if (!SIMULATED.models.some((name) => name === model)) throw modelNotFound(model);
}

function modelList(): string {
  const data = SIMULATED.models.map((id) => ({ id, object: 'model', created: 0, owned_by: SIMULATED.name }));
  return JSON.stringify({ object: 'list', data });
}

function sendJson(response: ServerResponse, status: number, json: string): void {
  response.writeHead(status, { 'content-type': JSON_TYPE, 'content-length': Buffer.byteLength(json) }).end(json);
}

function listen(server: Server): Promise<number> {
  return new Promise((resolve, reject) => {
    server.once('error', reject);
    server.listen(0, '127.0.0.1', () => {
      const address = server.address();
      if (address === null || typeof address === 'string') reject(new Error('the simulated provider has no port'));
      else resolve(address.port);
    });
  });
}

function close(server: Server): Promise<void> {
  return new Promise((resolve) => {
    // Its error says that it was closed before.
    server.close(() => resolve());
    server.closeAllConnections();
  });
}
