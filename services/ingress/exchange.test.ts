import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test, vi } from 'vitest';
import type { RoutePolicy } from '../../shared/config.ts';
import type { ErrorCode } from '../../shared/errors.ts';
import { FrameType } from '../../shared/messages/frame.ts';
import type { AnsweringServer } from '../../test/support/answering-server.ts';
import { startAnsweringServer } from '../../test/support/answering-server.ts';
import { parseSse, textOf } from '../../test/support/sse.ts';

import { END, HEAD, World } from './testing/exchange-world.ts';

const HEDGED: Partial<RoutePolicy> = { hedge: { afterMs: 'p95', share: 0.5 } };
const CONTINUED: Partial<RoutePolicy> = { onStreamBreak: 'continue' };
const chunk = (id: string, content: string): string =>
  `data: ${JSON.stringify({ id, created: 1, choices: [{ index: 0, delta: { content } }] })}\n\n`;

let server: AnsweringServer;

beforeAll(async () => {
  server = await startAnsweringServer();
});

afterAll(() => server.stop());

describe('an attempt that fails', () => {
  test('is followed by another elsewhere, and named in the answer', async () => {
    const world = await World.begin(server);
    world.fail(world.place('a/m'), 'upstream_failed');
    world.whole(world.place('b/m', { reason: 'fallback', variant: 'v2' }), '{}');
    const { headers } = await world.answer;
    expect(Object.fromEntries(headers)).toMatchObject({
      'x-sluice-deployment': 'b/m',
      'x-sluice-reason': 'fallback',
      'x-sluice-variant': 'v2',
      'x-sluice-attempts': '2',
      'x-sluice-failed': 'a/m=upstream_failed',
    });
    expect(world.asks().at(-1)?.tried).toEqual([{ deployment: 'a/m', worker: 'wrk-a', code: 'upstream_failed' }]);
    expect(await world.metric('sluice_retries_total')).toEqual([{ route: 'r', value: 1 }]);
  });

  test('is the last when the route allows no more', async () => {
    const world = await World.begin(server, { maxAttempts: 1 });
    world.fail(world.place('a/m'), 'upstream_failed');
    expect((await world.answer).status).toBe(502);
  });

  test('is the last when the attempts have cost enough', async () => {
    const world = await World.begin(server, { maxCostNanoUsd: 100 });
    world.fail(world.place('a/m'), 'upstream_failed', { costNanoUsd: 99 });
    world.fail(world.place('b/m'), 'upstream_failed', { costNanoUsd: 1 });
    const { headers } = await world.answer;
    expect(headers.get('x-sluice-attempts')).toBe('2');
  });

  test('is told at once when there were too many retries of late', async () => {
    const world = await World.begin(server);
    const { retries } = world.routes.termsOf({ via: undefined, overrides: undefined }, 'r');
    while (retries.tryWithdraw(world.now));
    world.fail(world.place('a/m'), 'upstream_unreachable');
    world.fail(world.place('b/m'), 'upstream_failed');
    expect(await (await world.answer).json()).toMatchObject({ error: { code: 'upstream_failed' } });
    expect(await world.metric('sluice_retry_budget_exhausted_total')).toEqual([{ route: 'r', value: 1 }]);
  });

  test('is tried again after a rest when nobody else is there, twice', async () => {
    const world = await World.begin(server);
    for (const restMs of [50, 100]) {
      world.fail(world.place('a/m'), 'upstream_failed');
      world.refuse('no_deployment', true);
      const asked = world.asks().length;
      world.pass(restMs - 1);
      expect(world.asks()).toHaveLength(asked);
      world.pass(1);
      expect(world.asks().at(-1)?.tried).toEqual([]);
    }
    world.fail(world.place('a/m'), 'upstream_failed');
    world.refuse('no_deployment', true);
    const response = await world.answer;
    expect({ status: response.status, attempts: response.headers.get('x-sluice-attempts') }).toEqual({
      status: 502,
      attempts: '3',
    });
  });

  test('is told when no other model takes as much', async () => {
    const world = await World.begin(server);
    world.fail(world.place('a/m'), 'context_length_exceeded');
    world.refuse('no_capable_deployment', false);
    expect(await (await world.answer).json()).toMatchObject({ error: { code: 'context_length_exceeded' } });
  });

  test('while it rests its client may leave', async () => {
    const world = await World.begin(server);
    world.fail(world.place('a/m'), 'upstream_failed');
    world.refuse('no_deployment', true);
    world.leave();
    await vi.waitFor(async () =>
      expect(await world.metric('sluice_requests_total')).toMatchObject([{ code: 'client_closed_request' }]),
    );
    world.pass(10_000);
    expect(world.asks()).toHaveLength(2);
  });
});

test('a task that was declined is no attempt, and no failure', async () => {
  const world = await World.begin(server);
  world.fail(world.place('a/m'), 'deployment_throttled', { isDeclined: true });
  world.whole(world.place('b/m'), '{}');
  const { headers } = await world.answer;
  expect({ attempts: headers.get('x-sluice-attempts'), failed: headers.get('x-sluice-failed') }).toEqual({
    attempts: '1',
    failed: null,
  });
  expect(world.tasks().map(({ attempt }) => attempt)).toEqual([1, 1]);
});

test('a route that it was downgraded to is named, and its policy counts', async () => {
  const world = await World.begin(server, { maxAttempts: 1 });
  world.fail(world.place('a/m', { downgradedTo: 'b/m' }), 'upstream_failed');
  world.whole(world.place('b/m', { downgradedTo: 'b/m' }), '{}');
  const { status, headers } = await world.answer;
  expect({ status, to: headers.get('x-sluice-downgraded-to') }).toEqual({ status: 200, to: 'b/m' });
});

test('what an abandoned router says counts as waited', async () => {
  const world = await World.begin(server);
  world.pass(751);
  expect(world.asks().map(({ waitedMs }) => waitedMs)).toEqual([undefined, 751]);
});

describe('a hedge', () => {
  beforeEach(() => void vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] }));
  afterEach(() => void vi.useRealTimers());

  async function hedged(isStream = false): Promise<{ world: World; first: number; second: number }> {
    const world = await World.begin(server, HEDGED, isStream);
    const first = world.place('a/m', { hedgeAfterMs: 200 });
    vi.advanceTimersByTime(199);
    expect(world.asks()).toHaveLength(1);
    vi.advanceTimersByTime(1);
    expect(world.asks().at(-1)?.tried).toEqual([{ deployment: 'a/m', worker: 'wrk-a', code: 'hedged' }]);
    return { world, first, second: world.place('b/m', { reason: 'hedge' }) };
  }

  test('wins by the first head: it is relayed, the other cancelled', async () => {
    const { world, second } = await hedged(true);
    world.send(second, FrameType.head, HEAD);
    expect(world.of(FrameType.cancel)).toMatchObject([{ to: 'sluice.work.wrk-a', text: 'hedge_lost' }]);
    world.send(second, FrameType.data, chunk('x', 'hi'));
    world.send(second, FrameType.end, END);
    const response = await world.answer;
    expect(Object.fromEntries(response.headers)).toMatchObject({
      'x-sluice-hedged': 'true',
      'x-sluice-deployment': 'b/m',
      'x-sluice-reason': 'hedge',
      'x-sluice-attempts': '2',
    });
    expect(textOf(parseSse(await response.text()).chunks)).toBe('hi');
    expect(await world.metric('sluice_hedges_total')).toEqual([{ route: 'r', won: 'true', value: 1 }]);
  });

  test('loses to a whole answer of the first', async () => {
    const { world, first } = await hedged();
    world.whole(first, '{}');
    expect(world.of(FrameType.cancel)).toMatchObject([{ to: 'sluice.work.wrk-b', text: 'hedge_lost' }]);
    const { headers } = await world.answer;
    expect(headers.get('x-sluice-deployment')).toBe('a/m');
    expect(await world.metric('sluice_hedges_total')).toEqual([{ route: 'r', won: 'false', value: 1 }]);
  });

  test.each(['first', 'second'] as const)('goes on with the other when the %s fails', async (which) => {
    const { world, ...streams } = await hedged();
    world.fail(streams[which], 'upstream_failed');
    expect(world.asks()).toHaveLength(2);
    world.whole(which === 'first' ? streams.second : streams.first, '{}');
    const { status, headers } = await world.answer;
    const failed = which === 'first' ? 'a/m=upstream_failed' : 'b/m=upstream_failed';
    expect({ status, failed: headers.get('x-sluice-failed') }).toEqual({ status: 200, failed });
    expect(world.of(FrameType.cancel)).toEqual([]);
  });

  test('asks elsewhere once both have failed', async () => {
    const { world, first, second } = await hedged();
    world.fail(second, 'upstream_failed');
    world.fail(first, 'upstream_failed');
    expect(world.asks().at(-1)?.tried).toHaveLength(2);
    world.whole(world.place('a/m'), '{}');
    expect((await world.answer).headers.get('x-sluice-attempts')).toBe('3');
  });

  test('ends both with this ingress', async () => {
    const { world } = await hedged();
    world.exchange.onShutdown();
    expect(world.of(FrameType.cancel).map(({ to, text }) => [to, text])).toEqual([
      ['sluice.work.wrk-a', 'shutting_down'],
      ['sluice.work.wrk-b', 'shutting_down'],
    ]);
  });

  test('ends both at the deadline', async () => {
    const { world } = await hedged();
    world.pass(60_000);
    expect(world.of(FrameType.cancel)).toHaveLength(2);
    expect((await world.answer).status).toBe(504);
  });

  test('does not stand in line: it would take a slot from a first attempt', async () => {
    const world = await World.begin(server, HEDGED);
    const first = world.place('a/m', { hedgeAfterMs: 200 });
    vi.advanceTimersByTime(200);
    world.send(world.of(FrameType.ask).at(-1)?.stream ?? 0, FrameType.waiting, { v: 1, router: 'rtr', position: 1 });
    expect(world.of(FrameType.abandon)).toHaveLength(1);
    world.whole(first, '{}');
    expect((await world.answer).headers.get('x-sluice-hedged')).toBeNull();
  });

  test.each([
    { what: 'the route does not hedge', policy: {} },
    { what: 'no attempt is left', policy: { ...HEDGED, maxAttempts: 1 } },
  ])('is not begun when $what', async ({ policy }) => {
    const world = await World.begin(server, policy);
    const first = world.place('a/m', { hedgeAfterMs: 200 });
    vi.advanceTimersByTime(10_000);
    expect(world.asks()).toHaveLength(1);
    world.whole(first, '{}');
  });

  test('is not begun once the first has shown something', async () => {
    const world = await World.begin(server, HEDGED, true);
    world.send(world.place('a/m', { hedgeAfterMs: 200 }), FrameType.head, HEAD);
    vi.advanceTimersByTime(10_000);
    expect(world.asks()).toHaveLength(1);
  });
});

describe('a stream that breaks', () => {
  async function broken(policy: Partial<RoutePolicy>, code: ErrorCode = 'upstream_cut_off'): Promise<World> {
    const world = await World.begin(server, policy, true);
    const stream = world.place('a/m');
    world.send(stream, FrameType.head, HEAD);
    world.send(stream, FrameType.data, chunk('first', 'one '));
    world.fail(stream, code);
    return world;
  }

  test('ends with an error where the route says nothing else', async () => {
    const world = await broken({});
    const { errors } = parseSse(await (await world.answer).text());
    expect(errors.map(({ code }) => code)).toEqual(['upstream_cut_off']);
  });

  test('is gone on with from its text, and says by whom', async () => {
    const world = await broken(CONTINUED);
    expect(world.asks().at(-1)).toMatchObject({ continues: true, tried: [{ deployment: 'a/m' }] });
    const stream = world.place('b/m');
    const task = world.tasks().at(-1);
    expect(task?.continues).toMatchObject({ id: 'first', created: 1 });
    world.send(stream, FrameType.head, HEAD);
    world.send(stream, FrameType.data, chunk('first', 'two'));
    world.send(stream, FrameType.end, END);
    const { chunks, comments, errors } = parseSse(await (await world.answer).text());
    expect({ text: textOf(chunks), comments, errors }).toEqual({
      text: 'one two',
      comments: ['sluice continued by b/m after upstream_cut_off'],
      errors: [],
    });
    expect(await world.metric('sluice_stream_continuations_total')).toEqual([{ value: 1 }]);
  });

  test('may break again: the next goes on from all of it', async () => {
    const world = await broken(CONTINUED);
    const second = world.place('b/m');
    world.send(second, FrameType.head, HEAD);
    world.send(second, FrameType.data, chunk('first', 'two '));
    world.fail(second, 'upstream_failed');
    const before = world.tasks().at(-1)?.bodyBytes ?? 0;
    world.place('a/m');
    expect(world.tasks().at(-1)?.bodyBytes).toBe(before + 'two '.length);
  });

  test('tells why it broke, whatever became of the attempts to go on', async () => {
    const world = await broken(CONTINUED);
    world.fail(world.place('b/m'), 'upstream_rejected');
    const { errors } = parseSse(await (await world.answer).text());
    expect(errors.map(({ code }) => code)).toEqual(['upstream_cut_off']);
  });

  test('is not gone on with after a failure that is final', async () => {
    const world = await broken(CONTINUED, 'content_filtered');
    expect(world.asks()).toHaveLength(1);
    await (await world.answer).text();
  });

  test('is not gone on with when nobody can', async () => {
    const world = await broken(CONTINUED);
    world.refuse('no_capable_deployment', false);
    const { errors } = parseSse(await (await world.answer).text());
    expect(errors.map(({ code }) => code)).toEqual(['upstream_cut_off']);
  });
});
