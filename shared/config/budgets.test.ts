import { describe, expect, test } from 'vitest';
import { ConfigError } from './errors.ts';
import { loadConfig } from './load.ts';
import { redactConfig } from './redact.ts';
import type { Config } from './types.ts';

function load(text: string): Config {
  return loadConfig({ argv: { config: 'sluice.yaml' }, env: {}, cwd: '/srv', readFile: () => text });
}

function problemsOf(text: string): string[] {
  try {
    load(text);
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error;
    return error.problems.map(
      ({ path, message, hint }) => `${path}: ${message}${hint === undefined ? '' : ` (${hint})`}`,
    );
  }
  return [];
}

/** One budget; what is given stands in the place of what it says else. */
function budget(fields: Readonly<Record<string, string>> = {}): string {
  const said = { scope: 'total', amount: '"5 USD"', per: 'day', ...fields };
  const pairs = Object.entries(said).map(([key, value]) => `${key}: ${value}`);
  return `routes: { cheap: { targets: [simulated/echo] } }
budgets: [{ ${pairs.join(', ')} }]`;
}

test('a budget says little, and has every default', () => {
  const { budgets } = load('budgets: [{ scope: "team:search", amount: "50 USD", per: day }]');
  expect(budgets).toEqual([
    {
      id: expect.stringMatching(/^config:[0-9a-f]{16}$/) as string,
      ...{ name: 'team:search per day', scope: 'team:search', amountNanoUsd: 50_000_000_000 },
      ...{ per: 'day', rollingMs: null, timeZone: 'UTC', isHard: true },
      ...{ onLimit: { kind: 'reject' }, alertAt: [50, 80, 100] },
    },
  ]);
});

test('everything of a budget can be said', () => {
  const { budgets } = load(
    budget({
      ...{ scope: '"user:*"', amount: '"0.5 USD"', per: '{ rolling: 24h }', time_zone: 'Europe/Berlin', hard: 'false' },
      ...{ name: 'n', alert_at: '[90]', on_limit: '{ downgrade: cheap }' },
    }),
  );
  expect(budgets[0]).toMatchObject({
    ...{ name: 'n', scope: 'user:*', amountNanoUsd: 500_000_000, per: 'rolling', rollingMs: 86_400_000 },
    ...{ timeZone: 'Europe/Berlin', isHard: false, alertAt: [90], onLimit: { kind: 'downgrade', to: 'cheap' } },
  });
});

test.each([
  ['reject', { kind: 'reject' }],
  ['queue', { kind: 'queue' }],
  ['{ queue: 20s }', { kind: 'queue', forMs: 20_000 }],
])('at its end: %s', (said, expected) => {
  expect(load(budget({ on_limit: said })).budgets[0]?.onLimit).toEqual(expected);
});

test('a key of the file is known by its id, in its own budget and in others', () => {
  const { budgets } = load(`
auth: { keys: [{ name: ci, key: sk-ci, budget: { amount: "5 USD", per: day } }] }
budgets: [{ scope: "key:ci", amount: "50 USD", per: month }]`);
  expect(budgets.map(({ scope, name }) => [scope, name])).toEqual([
    ['key:config:ci', 'key:ci per month'],
    ['key:config:ci', 'key:ci per day'],
  ]);
});

test('the same budget keeps its id when its amount changes, and only then', () => {
  const idOf = (fields: Readonly<Record<string, string>>): string | undefined => load(budget(fields)).budgets[0]?.id;
  const id = idOf({});
  expect([idOf({ amount: '"7 USD"' }), idOf({ hard: 'false' }), idOf({ alert_at: '[]' })]).toEqual([id, id, id]);
  expect(idOf({ time_zone: 'Asia/Tokyo' })).not.toBe(id);
  expect(idOf({ name: 'other' })).not.toBe(id);
});

test('webhooks are read, and shown without what may be secret', () => {
  const config = load('alerts: { webhooks: [{ url: "https://hooks.example/T0/x?y", secret: hunter2 }] }');
  expect(config.alerts.webhooks).toEqual([{ url: 'https://hooks.example/T0/x?y', secret: 'hunter2' }]);
  expect(redactConfig(config).alerts).toEqual({
    webhooks: [{ url: 'https://hooks.example', secret: '[redacted]' }],
  });
});

describe('one problem', () => {
  const at = 'budgets[0]';
  test.each([
    ['scope', '"team"', `${at}.scope`, ''],
    ['scope', '"taem:search"', `${at}.scope`, '(did you mean `team`?)'],
    ['scope', '"tag:a"', `${at}.scope`, '(write `tag:name=value`)'],
    ['scope', '"route:cheep"', `${at}.scope: there is no route \`cheep\``, '(did you mean `cheap`?)'],
    ['scope', '"key:ci"', `${at}.scope: there is no key \`ci\` in \`auth.keys\``, ''],
    ['amount', '5', `${at}.amount: has no currency`, '(write "5 USD")'],
    ['amount', '"5 EUR"', `${at}.amount: "5 EUR" is not an amount of money`, ''],
    ['amount', '"9000001 USD"', `${at}.amount: must be at most "9000000 USD"`, ''],
    ['per', 'dai', `${at}.per: must be one of day, week, month, total`, '(did you mean `day`?)'],
    ['per', 'rolling', `${at}.per: must say how long`, '(write `{ rolling: 24h }`)'],
    ['per', '{ rolling: 5s }', `${at}.per.rolling: must be from 1m to 366d`, ''],
    ['time_zone', 'Mars', `${at}.time_zone: "Mars" is not a time zone, such as Europe/Berlin`, ''],
    ['hard', 'maybe', `${at}.hard: must be true or false`, ''],
    ['alert_at', '[0]', `${at}.alert_at[0]: must be an integer from 1 to 1000`, ''],
    ['on_limit', 'downgrade', `${at}.on_limit: must name a route`, ''],
    ['on_limit', 'rejct', `${at}.on_limit`, '(did you mean `reject`?)'],
    ['on_limit', '{}', `${at}.on_limit: must say \`queue\` or \`downgrade\``, ''],
    [
      'on_limit',
      '{ downgrade: cheep }',
      `${at}.on_limit.downgrade: there is no route \`cheep\``,
      '(did you mean `cheap`?)',
    ],
    ['on_limit', '{ downgrade: nope/x }', `${at}.on_limit.downgrade: there is no provider \`nope\``, ''],
    ['name', '" x"', `${at}.name`, ''],
    ['limit', '5', `${at}.limit: unknown key \`limit\``, ''],
  ])('%s: %s', (key, value, beginning, end) => {
    const problems = problemsOf(budget({ [key]: value }));
    expect(problems).toHaveLength(1);
    expect(problems[0]?.slice(0, beginning.length)).toBe(beginning);
    expect(problems[0]).toContain(end);
  });

  test('a budget that is written twice', () => {
    const two = 'budgets: [{ scope: total, amount: "5 USD", per: day }, { scope: total, amount: "6 USD", per: day }]';
    expect(problemsOf(two)).toEqual(['budgets[1]: is the same budget as budgets[0] (give one of them a `name`)']);
    expect(problemsOf(two.replace('per: day }]', 'per: day, name: other }]'))).toEqual([]);
  });

  test('a webhook without a secret, and one without a scheme', () => {
    expect(problemsOf('alerts: { webhooks: [{ url: hooks.example }] }')).toEqual([
      'alerts.webhooks[0].url: must be a URL that begins with https:// or http://',
      'alerts.webhooks[0].secret: is required',
    ]);
  });
});
