import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { openDatabase } from '../../services/ledger/database/database.ts';
import { createKey } from '../../services/ledger/principals/keys.ts';
import { Bus } from '../../shared/bus.ts';
import { ForcedStates } from '../../shared/forced-states.ts';
import type { ErrorCode } from '../../shared/errors.ts';
import { createLog } from '../../shared/log.ts';
import type { WorkerBeat } from '../../shared/messages/beat.ts';
import { beatSubject } from '../../shared/subjects.ts';
import type { HealthPicture } from '../../services/ingress/core/health-picture.ts';
import { testSecret } from '../support/gateway.ts';
import { startJourney } from '../support/journey.ts';
import type { Journey } from '../support/journey.ts';
import { expectOpenAiError } from '../support/openai-error.ts';

let journey: Journey;
let bus: Bus;
let admin: Record<string, string>;

beforeAll(async () => {
  journey = await startJourney({ log: 'silent', providers: { a: '' } });
  const log = createLog('silent', 'test');
  bus = await Bus.connect({ url: journey.gateway.nats.url, name: 'test', log });
  const database = openDatabase({ url: journey.gateway.databaseUrl, log });
  const { token } = await createKey(database, { name: 'operator', role: 'owner' }, testSecret);
  await database.destroy();
  admin = { authorization: `Bearer ${token}` };
});

afterAll(async () => {
  await bus.close();
  await journey.stop();
});

type Answer = HealthPicture & { status: string; checks: Record<string, { ok: boolean }> };

async function health(): Promise<Answer> {
  const response = await fetch(`${journey.gateway.url}/admin/health`, { headers: admin });
  expect(response.status).toBe(200);
  return (await response.json()) as Answer;
}

function force(path: string, body?: string, headers = admin): Promise<Response> {
  return fetch(`${journey.gateway.url}/admin/deployments/${path}`, {
    method: 'POST',
    headers: { ...headers, ...(body !== undefined && { 'content-type': 'application/json' }) },
    ...(body !== undefined && { body }),
  });
}

describe('who may look', () => {
  test.each(['/admin/health', '/admin/deployments/a%2Fm/drain'])('%s needs an administrator’s key', async (path) => {
    const method = path === '/admin/health' ? 'GET' : 'POST';
    const ask = (headers: Record<string, string>): Promise<Response> =>
      fetch(`${journey.gateway.url}${path}`, { method, headers });
    await expectOpenAiError(await ask({ ...journey.headers }), 'admin_only');
    await expectOpenAiError(await ask({}), 'invalid_api_key');
  });
});

test('the picture has the checks, every configured deployment, the pools and the instances', async () => {
  const picture = await health();
  expect(picture).toMatchObject({ status: 'ready', checks: { nats: { ok: true }, workers: { ok: true } } });
  expect(picture.deployments.find(({ deployment }) => deployment === 'a/m')).toEqual({
    ...{ deployment: 'a/m', state: 'closed', in_flight: 0, workers: expect.any(Array) as unknown, forced: null },
  });
  expect(picture.pools).toContainEqual({
    pool: 'a',
    workers: 1,
    capacity: expect.any(Number) as number,
    in_flight: 0,
    waiting: 0,
  });
  expect(picture).toMatchObject({
    routers: [{ router: expect.stringMatching(/^rtr/) as string, draining: false, waiting: 0 }],
    workers: [{ worker: expect.stringMatching(/^wrk/) as string, draining: false, in_flight: 0 }],
    ledgers: [{ ledger: expect.stringMatching(/^ldg/) as string, postgres: null }],
  });
});

test('what a worker says of a deployment is seen, and is gone with the worker', async () => {
  const report = { deployment: 'a/seen', inFlight: 2, breaker: 'open' as const, probeInMs: 60_000 };
  const beat: WorkerBeat = { v: 1, worker: 'wrk_foreign', isDraining: false, pools: [], deployments: [report] };
  bus.publish(beatSubject('worker', 'wrk_foreign'), beat);
  await bus.flush();
  const seen = async (): Promise<unknown> =>
    (await health()).deployments.find(({ deployment }) => deployment === 'a/seen');
  await expect
    .poll(seen)
    .toMatchObject({ state: 'open', in_flight: 2, workers: [{ worker: 'wrk_foreign', breaker: 'open' }] });
  await expect.poll(seen, { timeout: 3_000 }).toBeUndefined();
});

test('a deployment is drained, disabled and enabled again, and everybody hears of it within a second', async () => {
  const router = new ForcedStates();
  await router.start(bus);
  const drained = await force('a%2Fm/drain', '{"note":"slow today"}');
  expect(await drained.json()).toMatchObject({
    deployment: 'a/m',
    state: 'drained',
    forced: { state: 'drained', note: 'slow today' },
  });
  await expect.poll(() => router.stateOf('a/m'), { timeout: 1_000 }).toBe('drained');

  // Slashes may stand as they are.
  expect(await (await force('a/m/disable')).json()).toMatchObject({ state: 'disabled', forced: { note: null } });
  await expect.poll(() => router.stateOf('a/m'), { timeout: 1_000 }).toBe('disabled');
  expect((await health()).deployments.find(({ deployment }) => deployment === 'a/m')?.state).toBe('disabled');

  await router.release('a/m');
  const state = async (): Promise<unknown> =>
    (await health()).deployments.find(({ deployment }) => deployment === 'a/m')?.state;
  await expect.poll(state, { timeout: 1_000 }).toBe('closed');
  expect(await (await force('a/m/enable')).json()).toMatchObject({ state: 'closed', forced: null });
  router.stop();
});

test.each([
  { path: 'nobody%2Fm/drain', body: undefined, code: 'model_not_found' },
  { path: 'a/mm/drain', body: undefined, code: 'model_not_found' },
  { path: 'a%2Fm/explode', body: undefined, code: 'unknown_url' },
  { path: 'drain', body: undefined, code: 'unknown_url' },
  { path: 'a%2Fm/drain', body: '{', code: 'invalid_json' },
  { path: 'a%2Fm/drain', body: '{"note":7}', code: 'invalid_request', param: 'note' },
] as const satisfies ReadonlyArray<{ path: string; body: string | undefined; code: ErrorCode; param?: string }>)(
  '$path with $body is refused with $code',
  async ({ path, body, code, ...more }) => {
    await expectOpenAiError(await force(path, body), code, 'param' in more ? more.param : null);
  },
);

test('a name that is nearly right is told', async () => {
  const { error } = (await (await force('a/mm/drain')).json()) as { error: { message: string } };
  expect(error.message).toContain('did you mean `a/m`?');
});
