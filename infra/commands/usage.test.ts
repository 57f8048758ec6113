import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { openDatabase } from '../../services/ledger/database/database.ts';
import { migrate } from '../../services/ledger/database/migrate.ts';
import { insertEvents } from '../../services/ledger/recording/record.ts';
import { usageEvent, usageEvents } from '../../services/ledger/testing/usage-event.ts';
import { createLog } from '../../shared/log.ts';
import type { TestDatabase } from '../../test/support/fresh.ts';
import { freshDatabase } from '../../test/support/fresh.ts';
import { runCli } from './testing/run-cli.ts';
import type { CliResult } from './testing/run-cli.ts';

const NOON = Date.UTC(2026, 10, 20, 12);
const DAY = 86_400_000;
const log = createLog('silent', 'test');
let cwd: string;
let database: TestDatabase;

beforeAll(async () => {
  cwd = await mkdtemp(join(tmpdir(), 'sluice-usage-'));
  database = await freshDatabase();
  await migrate(database.url, log);
  const db = openDatabase({ url: database.url, log });
  await insertEvents(db, [
    ...usageEvents(2, { team: 'search', tags: { project: 'apollo' }, costNanoUsd: 300, user: 'ada' }),
    usageEvent({ team: 'search', tags: { project: 'gemini' }, costNanoUsd: 100, startedEpochMs: NOON - DAY }),
    usageEvent({ team: 'ads, "and more"', costNanoUsd: 200, startedEpochMs: NOON - DAY }),
    usageEvent({ model: 'new', upstreamModel: 'new', deployment: 'x/new', costNanoUsd: null }),
  ]);
  await db.destroy();
});

afterAll(async () => {
  await database.drop();
  await rm(cwd, { recursive: true, force: true });
});

const TIME = ['--since', '2026-11-01', '--until', '2026-12-01'];

function usage(...args: readonly string[]): Promise<CliResult> {
  return runCli(['usage', ...args], { cwd, env: { DATABASE_URL: database.url, COLUMNS: '200' } });
}

async function rows(...args: readonly string[]): Promise<unknown> {
  return (JSON.parse((await usage(...TIME, ...args, '--json')).stdout) as { rows: unknown }).rows;
}

test('by tag, the dearest first; the others are not in it', async () => {
  expect(await rows('--by', 'tag:project')).toMatchObject([
    { 'tag:project': 'apollo', attempts: 2, costNanoUsd: '600' },
    { 'tag:project': 'gemini', attempts: 1, costNanoUsd: '100' },
  ]);
});

test('the dearest team, day by day', async () => {
  expect(await rows('--by', 'team', '--every', 'day', '--top', '1')).toMatchObject([
    { day: '2026-11-20', team: 'search', costNanoUsd: '600' },
    { day: '2026-11-19', team: 'search', costNanoUsd: '100' },
  ]);
});

test('conditions hold together, and an empty one is what has none', async () => {
  expect(await rows('--by', 'user', '--where', 'team=search', '--where', 'tag:project=apollo')).toMatchObject([
    { user: 'ada', attempts: 2 },
  ]);
  expect(await rows('--by', 'model', '--where', 'team=')).toMatchObject([{ model: 'new', attempts: 1 }]);
  const text = await usage(...TIME, '--where', 'team=', '--where', 'tag:project=apollo');
  expect(text.stdout).toContain('only without team, only tag project apollo');
});

test.each([
  { where: 'colour=red', says: 'It must be a dimension and its value' },
  { where: 'day=2026-11-20', says: 'It must be a dimension and its value' },
  { where: 'tag:project=', says: 'Which tag:project?' },
])('refused: --where $where', async ({ where, says }) => {
  expect(await usage('--where', where)).toMatchObject({ code: 2, stderr: expect.stringContaining(says) as string });
});

test('exports every attempt, as CSV and as lines of JSON', async () => {
  const csv = (await usage(...TIME, '--export', 'csv')).stdout.split('\r\n');
  expect(csv).toHaveLength(7);
  expect(csv[0]).toMatch(/^attempt_id,request_id,attempt,source,started_at,organisation,team,/);
  expect(csv.filter((line) => line.includes('"ads, ""and more"""'))).toHaveLength(1);
  const lines = (await usage(...TIME, '--export', 'jsonl', '--team', 'search')).stdout.trimEnd().split('\n');
  expect(lines.map((line) => JSON.parse(line) as object)).toMatchObject([
    { cost_usd: '0.0000001', tags: { project: 'gemini' } },
    { cost_usd: '0.0000003', user: 'ada' },
    { cost_usd: '0.0000003', user: 'ada' },
  ]);
});

test('what had no price is charged anew by one that is named, once', async () => {
  const reRate = ['re-rate', ...TIME, '--model', 'new', '--price', 'input=1,output=2'];
  expect((await usage(...reRate)).stdout).toBe('1 of 1 attempts corrected, by $0.0014 in all.\n');
  expect((await usage(...reRate)).stdout).toBe('0 of 1 attempts corrected, by $0.00 in all.\n');
  expect(await rows('--by', 'model', '--model', 'new')).toMatchObject([
    { costUsd: '0.0014', attemptsWithUnknownPrice: 0 },
  ]);
});

test('by the price table where no price is named, and what nobody knows stands', async () => {
  const done = await usage('re-rate', ...TIME, '--json', '--where', 'deployment=x/new');
  expect(JSON.parse(done.stdout)).toMatchObject({ attempts: 1, corrected: 0, unpriced: 1 });
  const listed = await usage('re-rate', ...TIME, '--json', '--where', 'deployment=openai/gpt-4o-mini');
  // openai is not configured here.
  expect(JSON.parse(listed.stdout)).toMatchObject({ attempts: 4 });
});

test.each([
  { args: ['--price', 'input=1'], says: 'It must name both' },
  { args: ['--price', 'input=1,output=two'], says: '"two" is not a number of USD' },
  { args: ['--price', 'in=1,output=2'], says: '"in" is not one of input, output' },
  { args: ['--price', 'input=99999,output=2'], says: 'at most 10000 USD' },
])('refused: re-rate $args', async ({ args, says }) => {
  expect(await usage('re-rate', '--since', '7d', ...args)).toMatchObject({
    ...{ code: 2, stderr: expect.stringContaining(says) as string },
  });
});

test('re-rating wants to know since when', async () => {
  expect(await usage('re-rate')).toMatchObject({ code: 2, stderr: expect.stringContaining('--since') as string });
});
