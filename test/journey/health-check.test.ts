import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest';
import { HeardBeats } from '../support/beats.ts';
import type { HandmadeProvider } from '../support/handmade-provider.ts';
import { PLAIN_ANSWER, startHandmadeProvider } from '../support/handmade-provider.ts';
import { keyOf, startJourney } from '../support/journey.ts';
import type { Journey } from '../support/journey.ts';
import { until } from '../support/settled.ts';

/** How checks are answered: a status, or not at all. */
let answer: number | 'silence' = 200;
let checked: HandmadeProvider;
let journey: Journey;
let beats: HeardBeats;

const checks = (): number => checked.requests.filter(({ path }) => path === '/v1/health').length;
const calls = (): number => checked.requests.length - checks();

beforeAll(async () => {
  checked = await startHandmadeProvider();
  checked.answer = ({ path }, response) => {
    if (path !== '/v1/health') return void response.writeHead(200).end(PLAIN_ANSWER);
    if (answer !== 'silence') response.writeHead(answer).end('{}');
  };
  journey = await startJourney({
    providers: {
      checked: {
        script: '',
        base_url: `${checked.url}/v1`,
        models: { m: {}, unused: {} },
        health_check: { every: '1s', timeout: '150ms', path: '/health' },
      },
      good: '',
    },
    routes: { 'checked-or-good': { strategy: 'ordered', targets: ['checked/m'], fallbacks: ['good/m'] } },
  });
  beats = await HeardBeats.listen(journey.gateway.nats.url);
});

beforeEach(async () => {
  answer = 200;
  await journey.chat('checked/m');
  await beats.untilReport('checked/m', ({ checkFailed }) => checkFailed === null);
});

afterAll(async () => {
  await beats.stop();
  await journey.stop();
  await checked.stop();
});

test('the check is a GET with the credential', async () => {
  const isCheck = (request: { readonly path: string }): boolean => request.path === '/v1/health';
  await expect.poll(() => checked.requests.some(isCheck)).toBe(true);
  const { path, headers, body } = checked.requests.find(isCheck) ?? {};
  expect({ path, authorization: headers?.authorization, bytes: body?.length }).toEqual({
    path: '/v1/health',
    authorization: `Bearer ${keyOf('checked')}`,
    bytes: 0,
  });
});

test.each([
  { what: 'a failure', says: 503 as const, reason: 'status 503' },
  { what: 'a refused credential', says: 401 as const, reason: 'status 401' },
  { what: 'silence', says: 'silence' as const, reason: 'no answer in time' },
])('$what, twice, closes all its deployments, and one success opens them', async ({ says, reason }) => {
  answer = says;
  const failed = await beats.untilReport('checked/m', ({ checkFailed }) => typeof checkFailed === 'string');
  expect(failed).toMatchObject({ breaker: 'open', checkFailed: reason });
  expect(beats.report('checked/unused')).toMatchObject({ breaker: 'open', checkFailed: reason });
  const before = calls();
  await journey.chat('checked-or-good');
  expect(calls()).toBe(before);
  answer = 200;
  await beats.untilReport('checked/m', ({ checkFailed, breaker }) => checkFailed === null && breaker === 'closed');
  expect(beats.report('checked/unused')).toMatchObject({ breaker: 'closed', checkFailed: null });
  expect((await journey.chat('checked/m')).status).toBe(200);
});

test.each([404, 405, 429])('status %i is an answer of somebody who lives', async (status) => {
  answer = status;
  const before = checks();
  await until(
    () => checks() >= before + 3,
    8_000,
    () => `${checks() - before} checks`,
  );
  expect(beats.report('checked/m')).toMatchObject({ breaker: 'closed', checkFailed: null });
});
