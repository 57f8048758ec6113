/** From a parsed request to its answer: which script, which verdict, who answers. */
import { answerAdmin } from './admin.ts';
import type { Connection } from './connection.ts';
import { errorJson, reasonOf } from './errors.ts';
import { headersOf } from './http-parser.ts';
import type { RequestHead } from './http-parser.ts';
import { Plan, answer } from './plan.ts';
import type { SeqPosition } from './plan.ts';
import { answerSlowly } from './answers.ts';
import { BodyScanner } from './scan.ts';
import { Schedule } from './schedule.ts';
import { DEFAULTS, applyScript } from './script.ts';
import type { Script, Verdict } from './script.ts';
import { Recorder, Stats, unixMs } from './stats.ts';

export interface EngineOptions {
  readonly defaults: string;
  readonly record: number;
  readonly requireKey: string | undefined;
}

/** What a request's head says; kept while the configuration (the generation) lasts. */
export interface Route {
  readonly generation: number;
  readonly kind: 'chat' | 'embeddings' | 'other';
  /** Path without `/m/<script>` and query. */
  readonly path: string;
  readonly query: string;
  readonly script: Script;
  readonly xMock: string;
  /** Without `Bearer `. */
  readonly key: string;
  /** By model as received. */
  readonly plans: Map<string, Plan>;
  /** Why the script in the path cannot be read. */
  readonly problem: string | undefined;
}

/** Past this many models per route or routes in all, the caches start over; nothing but time is lost. */
const MAX_CACHED = 4_096;

export class Engine {
  readonly stats = new Stats();
  readonly schedule = new Schedule();
  readonly recorder: Recorder;
  readonly #requireKey: string | undefined;
  readonly #defaults: Script;
  readonly #scanner = new BodyScanner();
  #base: Script;
  #routes = new Map<string, Route>();
  #positions = new Map<string, SeqPosition>();
  /** Counts configurations and resets: a cached route of an earlier one is not used. */
  generation = 0;

  constructor(options: EngineOptions) {
    this.#defaults = applyScript(DEFAULTS, options.defaults);
    this.#base = this.#defaults;
    this.#requireKey = options.requireKey;
    this.recorder = new Recorder(options.record);
  }

  get base(): Script {
    return this.#base;
  }

  configure(script: string): void {
    this.#base = applyScript(this.#defaults, script);
    this.#forget();
    this.#positions.clear();
  }

  reset(): void {
    this.stats.reset();
    this.recorder.clear();
    this.#positions.clear();
    this.#forget();
  }

  stop(): void {
    this.schedule.stop();
  }

  #forget(): void {
    this.generation++;
    this.#routes.clear();
  }

  route(head: RequestHead): Route {
    const name = `${head.method} ${head.target}\n${head.authorization}\n${head.xApiKey}\n${head.xMock}`;
    let route = this.#routes.get(name);
    if (route === undefined) {
      route = this.#makeRoute(head);
      if (this.#routes.size >= MAX_CACHED) this.#routes.clear();
      this.#routes.set(name, route);
    }
    return route;
  }

  #makeRoute(head: RequestHead): Route {
    let { target } = head;
    let script = this.#base;
    let problem: string | undefined;
    if (target.startsWith('/m/')) {
      const slash = target.indexOf('/', 3);
      const text = target.slice(3, slash < 0 ? undefined : slash);
      target = slash < 0 ? '/' : target.slice(slash);
      try {
        script = applyScript(script, text);
      } catch (error) {
        problem = String(error);
      }
    }
    const mark = target.indexOf('?');
    const path = mark < 0 ? target : target.slice(0, mark);
    const bare = path.startsWith('/v1/') ? path.slice(3) : path;
    let kind: Route['kind'] = 'other';
    if (head.method === 'POST' && bare === '/chat/completions') kind = 'chat';
    if (head.method === 'POST' && bare === '/embeddings') kind = 'embeddings';
    return {
      generation: this.generation,
      kind,
      path: bare,
      query: mark < 0 ? '' : target.slice(mark + 1),
      script,
      xMock: head.xMock,
      key: (head.authorization || head.xApiKey).replace(/^bearer\s+/i, ''),
      plans: new Map(),
      problem,
    };
  }

  /** Throws when the model's suffix or the x-mock header is not a script. */
  #plan(route: Route, model: string): Plan {
    const known = route.plans.get(model);
    if (known !== undefined) return known;
    const mark = model.indexOf('?');
    let script = route.script;
    if (mark >= 0) script = applyScript(script, model.slice(mark + 1).replaceAll('\\u0026', '&'));
    script = applyScript(script, route.xMock);
    const positionName = `${script.label}|${model}|${script.seq.join(',')}`;
    let position = this.#positions.get(positionName);
    if (position === undefined) {
      position = { next: 0 };
      this.#positions.set(positionName, position);
    }
    const readable = Buffer.from(model, 'latin1').toString('utf8');
    const plan = new Plan(
      script,
      model,
      route.key,
      this.stats.series(`${script.label}|${route.key}|${readable}`),
      position,
    );
    if (route.plans.size >= MAX_CACHED) route.plans.clear();
    route.plans.set(model, plan);
    return plan;
  }

  handle(connection: Connection, head: RequestHead, route: Route, body: Buffer, start: number, end: number): void {
    if (route.kind === 'other') {
      answerAdmin(this, connection, head, route);
      return;
    }
    if (this.recorder.capacity > 0) this.#record(head, body, start, end);
    if (this.#requireKey !== undefined && route.key !== this.#requireKey) {
      this.refuse(connection, head, 401);
      return;
    }
    const scanned = this.#scanner;
    if (!scanned.scan(body, start, end)) {
      this.refuse(connection, head, 400, 'We could not parse the JSON body of your request.');
      return;
    }
    let plan: Plan;
    let verdict: Verdict;
    try {
      if (route.problem !== undefined) throw new Error(route.problem);
      plan = this.#plan(route, scanned.model);
      verdict = plan.verdict();
    } catch (error) {
      this.refuse(connection, head, 400, `scripted provider: ${String(error)}`);
      return;
    }
    const { script } = plan;
    const { stats } = this;
    const promptTokens = Math.ceil(scanned.characters / 4);
    stats.begin(plan.counters, verdict);
    const isClosing = !head.keepAlive || !script.keepalive;
    if (verdict === 'ok' && route.kind === 'chat' && !scanned.stream && script.ttftMs === 0 && script.jitterMs === 0) {
      const n = plan.tokens(scanned.maxTokens);
      const choices = plan.choices(scanned.choices);
      const template = plan.template(promptTokens, n, choices, isClosing);
      if (template === undefined) connection.write(plan.plainAnswer(promptTokens, n, choices, isClosing));
      else if (!connection.writeBytes(template.bytes)) template.bytes = Buffer.from(template.bytes);
      stats.tokens(plan.counters, promptTokens, n * choices);
      stats.end();
      if (isClosing) connection.end();
      return;
    }
    answerSlowly(this, connection, { plan, verdict, kind: route.kind, scanned, promptTokens, isClosing });
  }

  /** An error that is not scripted: not counted as a request. */
  refuse(connection: Connection, head: RequestHead, status: number, message?: string): void {
    const text = answer(
      `${status} ${reasonOf(status)}`,
      'application/json',
      Buffer.from(errorJson(status, undefined, message)).toString('latin1'),
      '',
      !head.keepAlive,
    );
    connection.write(text);
    if (!head.keepAlive) connection.end();
  }

  #record(head: RequestHead, body: Buffer, start: number, end: number): void {
    this.recorder.add({
      atMs: unixMs(),
      method: head.method,
      path: head.target,
      headers: headersOf(head),
      body: Buffer.from(body.subarray(start, end)),
    });
  }
}
