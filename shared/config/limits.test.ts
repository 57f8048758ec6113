import { describe, expect, test } from 'vitest';
import { parseConfig } from '../testing/config.ts';
import { ConfigError } from './errors.ts';
import { redactConfig } from './redact.ts';

const limitsOf = (yaml: string): Record<string, unknown> => Object.fromEntries(parseConfig(yaml).limits);

function problemsOf(yaml: string): string[] {
  try {
    parseConfig(yaml);
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error;
    return error.problems.map(
      ({ path, message, hint }) => `${path}: ${message}${hint === undefined ? '' : ` (${hint})`}`,
    );
  }
  return [];
}

describe('limits', () => {
  test('are kept by scope, a pattern where each of a kind has its own', () => {
    const yaml = `limits:
  total: { requests_per_minute: 60000, burst: 2000 }
  per_user: { tokens_per_minute: 100000, concurrent: 4 }
  per_model: { requests_per_minute: 10 }
  "team:search": { cost: { amount: "5 USD", per: 1h } }`;
    expect(limitsOf(yaml)).toEqual({
      total: [{ requestsPerMinute: 60_000, burst: 2_000 }],
      'user:*': [{ tokensPerMinute: 100_000, concurrent: 4 }],
      'model:*': [{ requestsPerMinute: 10 }],
      'team:search': [{ cost: { nanoUsd: 5_000_000_000, perMs: 3_600_000 } }],
    });
  });

  test('of routes and keys stand with these', () => {
    const yaml = `
auth: { keys: [{ name: ci, key: sk-1, limits: { requests_per_minute: 5 } }] }
routes: { chat: { targets: [simulated/echo], limits: { requests_per_minute: 3000 } } }
limits: { "route:chat": { concurrent: 9 } }`;
    expect(limitsOf(yaml)).toEqual({
      'route:chat': [{ concurrent: 9 }, { requestsPerMinute: 3_000 }],
      'key:config:ci': [{ requestsPerMinute: 5 }],
    });
  });

  test('name a configured key by its name, any other by its id', () => {
    const yaml = `
auth: { keys: [{ name: ci, key: sk-1 }] }
limits: { "key:ci": { concurrent: 1 }, "key:key_0199": { concurrent: 2 } }`;
    expect(limitsOf(yaml)).toEqual({ 'key:config:ci': [{ concurrent: 1 }], 'key:key_0199': [{ concurrent: 2 }] });
  });

  test('are shown with the rest of the configuration', () => {
    const config = parseConfig('limits: { total: { concurrent: 1 } }');
    expect(redactConfig(config).limits).toEqual({ total: [{ concurrent: 1 }] });
  });
});

test.each([
  ['per_usr: { concurrent: 1 }', 'limits.per_usr: unknown key `per_usr` (did you mean `per_user`?)'],
  ['user: { concurrent: 1 }', 'limits.user: unknown key `user` (`per_user` for each apart, `"user:..."` for one)'],
  ['"tean:a": { concurrent: 1 }', 'limits["tean:a"]: `tean` is no kind of scope (did you mean `team`?)'],
  ['"team:": { concurrent: 1 }', 'limits["team:"]: must name a scope, such as `"team:search"`'],
  ['"tag:env=test": { concurrent: 1 }', 'limits["tag:env=test"]: limits are not for tags (budgets are)'],
  ['"route:chta": { concurrent: 1 }', 'limits["route:chta"]: there is no route `chta` (did you mean `chat`?)'],
  [
    'total: { request_per_minute: 1 }',
    'limits.total.request_per_minute: unknown key `request_per_minute` (did you mean `requests_per_minute`?)',
  ],
  ['total: { requests_per_minute: 0 }', 'limits.total.requests_per_minute: must be an integer from 1 to 1000000000'],
  ['total: { cost: { amount: "5 USD" } }', 'limits.total.cost.per: is required'],
  ['total: { cost: { amount: 5, per: 1h } }', 'limits.total.cost.amount: has no currency (write "5 USD")'],
  ['total: { tokens_per_minute: 9, burst: 3 }', 'limits.total.burst: has no effect without `requests_per_minute`'],
  ['total: {}', 'limits.total: must say `requests_per_minute`, `tokens_per_minute`, `cost` or `concurrent`'],
])('of %s is told: %s', (limits, said) => {
  const yaml = `routes: { chat: { targets: [simulated/echo] } }\nlimits: { ${limits} }`;
  expect(problemsOf(yaml)).toEqual([said]);
});
