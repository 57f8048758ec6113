import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import type { z } from 'zod';
import { checkOf } from './check.ts';
import { AttemptEnd, AttemptFailed, ResponseHead } from './messages/attempt.ts';
import { LedgerBeat, RouterBeat, WorkerBeat } from './messages/beat.ts';
import { Envelope, Placed, Refused, Waiting } from './messages/envelope.ts';
import { KeyAnswer, KeyQuery } from './messages/key.ts';
import { AheadRecalled, SlotsIssued, SlotsReturned } from './messages/slots.ts';
import { TaskHead } from './messages/task.ts';
import { UsageRecorded } from './messages/usage.ts';

const principal = { keyId: 'k', keyName: 'a key', team: null };
const usage = { inputTokens: 1, outputTokens: 2, cachedInputTokens: 0, reasoningTokens: 0 };
const end = { finish: 'stop', usage, isEstimated: false, costNanoUsd: 7, ttftMs: null, durationMs: 12.5 };
const asked = { id: 'r', principal, model: 'm', endpoint: 'chat', stream: false, bodyBytes: 9, deadlineEpochMs: 1 };
const error = { code: 'c', message: 'm', param: 'p', upstream: { status: 429, type: 't' } };

const MESSAGES: ReadonlyArray<readonly [name: string, schema: z.ZodType, sample: object]> = [
  [
    'Envelope',
    Envelope,
    {
      ...{ v: 1, ...asked, tried: [{ deployment: 'd', worker: 'w', code: 'c' }], slotsAhead: 3, inputTokens: 5 },
      ...{ maxOutputTokens: 6, needs: ['tools'], lane: 'batch', via: 'x', overrides: { onLimit: { kind: 'reject' } } },
      sketch: { lastUser: 'u', systemChars: 0, totalChars: 1, turns: 1, tools: 0, wantsSchema: false },
    },
  ],
  [
    'Placed',
    Placed,
    {
      ...{ v: 1, deployment: 'd', pool: 'p', worker: 'w', router: 'r', slot: 1, route: null, queueMs: 0 },
      ...{ reason: 'ordered', variant: 'a', hedgeAfterMs: 9, timeoutMs: 5, ahead: [{ worker: 'w', from: 2, to: 9 }] },
    },
  ],
  ['Waiting', Waiting, { v: 1, router: 'r', position: 0 }],
  ['Refused', Refused, { v: 1, error, isExhausted: true }],
  [
    'TaskHead',
    TaskHead,
    {
      ...{ v: 1, ...asked, attempt: 1, deployment: 'd', pool: 'p', router: 'r', slot: 1, route: 'x' },
      ...{ includeUsage: true, modelAt: [9, 12], streamOptionsAt: null, queueMs: 0, creditBytes: 1 },
      ...{ reason: 'peak_ewma', tokensEstimate: 7 },
    },
  ],
  [
    'ResponseHead',
    ResponseHead,
    { contentType: 'c', headers: { a: 'b' }, inputTokensEstimate: 3, plain: { bodyBytes: 4, end } },
  ],
  ['AttemptEnd', AttemptEnd, end],
  ['AttemptFailed', AttemptFailed, { error }],
  ['SlotsIssued', SlotsIssued, { v: 1, worker: 'w', pool: 'p', issued: 3, outstanding: 2, capacity: 4 }],
  ['SlotsReturned', SlotsReturned, { v: 1, router: 'r', pool: 'p', from: 1, to: 2 }],
  ['AheadRecalled', AheadRecalled, { v: 1, router: 'r', pool: 'p' }],
  [
    'WorkerBeat',
    WorkerBeat,
    {
      ...{ v: 1, worker: 'w', isDraining: false, connection: 1 },
      pools: [{ pool: 'p', capacity: 1, inFlight: 0 }],
      deployments: [
        { deployment: 'd', inFlight: 1, breaker: 'open', probeInMs: 5, requests: { room: 1, perMinute: 60 } },
      ],
    },
  ],
  [
    'RouterBeat',
    RouterBeat,
    {
      ...{ v: 1, router: 'r', isDraining: true, connection: 2 },
      ...{ spent: [{ worker: 'w', pool: 'p', spent: 1 }], waiting: { p: 3 } },
    },
  ],
  ['LedgerBeat', LedgerBeat, { v: 1, ledger: 'l', postgres: null, backlog: 0 }],
  ['KeyQuery', KeyQuery, { v: 1, hash: 'ab'.repeat(32) }],
  ['KeyAnswer', KeyAnswer, { v: 1, principal }],
  [
    'UsageRecorded',
    UsageRecorded,
    {
      ...{ v: 1, attemptId: 'a', requestId: 'r', attempt: 1, source: 'worker', startedEpochMs: 1, ...principal },
      ...{ model: 'm', route: null, deployment: 'd', provider: 'p', upstreamModel: 'u', endpoint: 'chat' },
      ...{ stream: true, ...usage, isEstimated: false, costNanoUsd: 1, queueMs: 0, ttftMs: 1, durationMs: 2 },
      ...{ upstreamStatus: 200, finish: 'stop', error: null, worker: 'w', ingress: 'i', traceparent: null },
    },
  ],
];

/** Every place of a JSON value: the keys that lead to it. */
function places(value: unknown, path: string[] = []): string[][] {
  if (typeof value !== 'object' || value === null) return [path];
  return [path, ...Object.entries(value).flatMap(([key, inner]) => places(inner, [...path, key]))];
}

/** A copy with something else at one place; `undefined` takes the place away. */
function withValueAt(value: unknown, [key, ...rest]: readonly string[], put: unknown): unknown {
  if (key === undefined) return put;
  const copy = (Array.isArray(value) ? [...(value as unknown[])] : { ...(value as object) }) as Record<string, unknown>;
  if (rest.length === 0 && put === undefined) delete copy[key];
  else copy[key] = withValueAt(copy[key], rest, put);
  return JSON.parse(JSON.stringify(copy));
}

describe.each(MESSAGES)('%s', (_name, schema, sample) => {
  const check = checkOf(schema);

  test('is taken as it is, with fields that are not known yet', () => {
    expect(check(sample)).toBe(true);
    expect(check({ ...sample, notKnownYet: { a: 1 } })).toBe(true);
  });

  test('is judged as zod judges it, whatever stands anywhere in it', () => {
    const all = places(sample);
    const put = fc.oneof(
      fc.constantFrom<unknown>(undefined, null, 0, 1, 2, -1, 0.5, 2 ** 53, 1e300, '', 'chat', true, [], {}, [1, 2]),
      fc.jsonValue(),
    );
    fc.assert(
      fc.property(fc.constantFrom(...all), put, (path, value) => {
        const changed = withValueAt(sample, path, value);
        expect(check(changed)).toBe(schema.safeParse(changed).success);
      }),
      { numRuns: 400 },
    );
  });
});
