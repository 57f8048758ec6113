/** GET /v1/models, and the HTTP form of the programmatic API under /_mock/. */
import { binary } from './chat.ts';
import type { Connection } from './connection.ts';
import { modelsJson, oneModelJson } from './embeddings.ts';
import type { Engine, Route } from './engine.ts';
import type { RequestHead } from './http-parser.ts';
import { answer, extraHeaders, nextId } from './plan.ts';
import type { Counters, ProviderStats, RecordedRequest } from './stats.ts';

const countersOnWire = (counters: Readonly<Counters>): object => ({
  requests: counters.requests,
  prompt_tokens: counters.promptTokens,
  completion_tokens: counters.completionTokens,
  streams_ok: counters.streamsFinished,
  streams_cut: counters.streamsCut,
  client_gone: counters.abandoned,
});

/** The names of the Go mock, so that the same scripts read both. */
function statsOnWire(stats: ProviderStats): object {
  return {
    total: countersOnWire(stats.total),
    active: stats.active,
    max_active: stats.maxActive,
    verdicts: stats.byVerdict,
    by_label_key_model: Object.fromEntries(
      Object.entries(stats.byLabelKeyModel).map(([name, counters]) => [name, countersOnWire(counters)]),
    ),
    open_conns: stats.connectionsOpen,
    conns_accepted: stats.connectionsAccepted,
    abandoned: stats.abandonments,
    cpu_s: stats.cpuSeconds,
    up_s: stats.upSeconds,
  };
}

const requestOnWire = (request: RecordedRequest): object => ({
  ...request,
  body: request.body.toString('utf8'),
  body_base64: request.body.toString('base64'),
});

export function answerAdmin(engine: Engine, connection: Connection, head: RequestHead, route: Route): void {
  const isClosing = !head.keepAlive;
  const send = (body: string): void => {
    connection.write(
      answer('200 OK', 'application/json', binary(body), extraHeaders(route.script, nextId()), isClosing),
    );
    if (isClosing) connection.end();
  };
  switch (route.path) {
    case '/models': {
      const { models } = route.script;
      if (models >= 400) return engine.refuse(connection, head, models);
      return send(modelsJson());
    }
    case '/':
    case '/health':
    case '/healthz':
      return send('{"ok":true}');
    case '/_mock/stats':
      return send(JSON.stringify(statsOnWire(engine.stats.snapshot())));
    case '/_mock/reset':
      engine.reset();
      return send('{"ok":true}');
    case '/_mock/config':
      try {
        engine.configure(route.query);
      } catch (error) {
        return engine.refuse(connection, head, 400, String(error));
      }
      return send(JSON.stringify(engine.base));
    case '/_mock/requests':
      if (engine.recorder.capacity === 0) return engine.refuse(connection, head, 404, 'start with --record N');
      return send(JSON.stringify(engine.recorder.list().map(requestOnWire)));
    default: {
      const model = route.path.startsWith('/models/')
        ? oneModelJson(decodeURIComponent(route.path.slice(8)))
        : undefined;
      if (model !== undefined) return send(model);
      return engine.refuse(connection, head, 404, `Invalid URL (${head.method} ${route.path})`);
    }
  }
}
