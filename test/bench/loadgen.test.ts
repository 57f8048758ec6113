import { afterAll, afterEach, beforeAll, expect, test } from 'vitest';
import { startProvider } from '../support/provider.ts';
import type { ScriptedProvider } from '../support/provider.ts';
import { runLoad } from './loadgen.ts';
import type { LoadOptions, LoadResult } from './loadgen.ts';

let provider: ScriptedProvider;
beforeAll(async () => {
  provider = await startProvider({ record: 1_000 });
});
afterEach(() => provider.reset());
afterAll(() => provider.stop());

const load = (script: string, options: Partial<LoadOptions>): Promise<LoadResult> =>
  runLoad({
    url: `${provider.url}/m/${script}/v1/chat/completions`,
    body: `{"model":"m","stream":${options.stream === true},"messages":[{"role":"user","content":"é {{seq}}"}]}`,
    ...options,
  });

test('a closed loop sends exactly n requests, each with a sequence number of its own', async () => {
  const result = await load('n=1', { requests: 300, connections: 8, headers: ['Authorization: Bearer sk-1'] });
  expect(result).toMatchObject({ mode: 'closed', sent: 300, ok: 300, errors: {}, status: { 200: 300 }, dials: 8 });
  expect(result.lat_ms?.n).toBe(300);
  expect(provider.stats().byLabelKeyModel['|sk-1|m']?.requests).toBe(300);
  expect(new Set(provider.requests().map(({ body }) => body.toString())).size).toBe(300);
});

test('an open loop keeps its rate and counts from the due time', async () => {
  const result = await load('ttft=30', { rate: 200, durationMs: 1_000 });
  expect(result).toMatchObject({ mode: 'open', sent: 200, ok: 200 });
  expect(result.rps).toBeGreaterThan(150);
  expect(result.lat_ms?.min).toBeGreaterThanOrEqual(29);
  expect(result.send_lag_ms?.n).toBe(200);
});

test('an open loop charges a wait for a connection to the request that waits', async () => {
  const result = await load('ttft=20', { rate: 200, requests: 20, maxConnections: 1 });
  expect(result.lat_ms?.max).toBeGreaterThan(250); // the last is due after 95 ms and answered after 400
  expect(result.dials).toBe(1);
});

test.each(['ts=1&itl=2', 'ts=1&itl=0', 'ts=1&split=11&itl=2', 'crlf=1&itl=1', 'ts=1&itl=1&toksize=70000'])(
  'streams are complete, token by token (%s)',
  async (script) => {
    const result = await load(`n=12&${script}`, {
      stream: true,
      expect: 12,
      requests: 6,
      connections: 3,
      needDone: true,
    });
    expect(result).toMatchObject({ ok: 6, errors: {} });
    expect(result.stream).toMatchObject({ complete: 6, tokens: 72, missing: 0, dup: 0, disorder: 0, no_end_event: 0 });
  },
);

test.each([
  { script: 'seq=429', stream: false, errors: { http_429: 3 } },
  { script: 'seq=reset', stream: false, errors: { reset_headers: 3 } },
  { script: 'seq=close', stream: false, errors: { eof_headers: 3 } },
  { script: 'seq=cut', stream: false, errors: { eof_body: 3 } },
  { script: 'seq=garbage', stream: false, errors: { bad_answer: 3 } },
  { script: 'seq=hang', stream: false, errors: { timeout_headers: 3 } },
  { script: 'seq=stall&n=4', stream: true, errors: { timeout_body: 3 } },
  { script: 'seq=cut&n=4&ts=1', stream: true, errors: { eof_body: 3 } },
  { script: 'seq=err&n=4', stream: true, errors: { stream_error_event: 3 } },
  { script: 'seq=cutjson&n=4&ts=1', stream: true, errors: { stream_incomplete: 3 } },
  { script: 'seq=nodone&n=4&ts=1', stream: true, errors: { stream_no_end_event: 3 } },
])('$script is $errors', async ({ script, stream, errors }) => {
  const result = await load(script, { requests: 3, connections: 1, stream, expect: 4, needDone: true, timeoutMs: 150 });
  expect(result).toMatchObject({ sent: 3, ok: 0, errors });
});

test('connection: close is obeyed, a new connection for each request', async () => {
  const result = await load('keepalive=0', { requests: 5, connections: 1 });
  expect(result).toMatchObject({ ok: 5, dials: 5, errors: {} });
});

test('a wrong flag ends with its message', async () => {
  await expect(runLoad({ url: 'https://127.0.0.1/' })).rejects.toThrow('only http:// targets');
});
