import { describe, expect, test } from 'vitest';
import type { KeySpec } from './check-key.ts';
import { checkKey } from './check-key.ts';

const many = (count: number, item: (index: number) => string): string[] =>
  Array.from({ length: count }, (_, i) => item(i));

describe('a key may have', () => {
  test.each<Partial<KeySpec>>([
    {},
    { name: 'Für Ada, 2nd' },
    { team: 'search', user: 'ada@example.com', organisation: 'acme.eu' },
    { team: null, routes: null, models: null, expiresEpochMs: null },
    { models: ['gpt-4o', 'openai/gpt-4o', 'openai/*', 'groq/openai/gpt-oss-20b', 'vllm/org/*'] },
    { routes: [], models: [] },
    { networks: ['10.0.0.0/8', '2001:db8::/32', '192.168.1.1'] },
    { tags: { env: 'test', 'cost-center': 'a b=c' } },
    { mayName: ['user', 'tags'], logPayloads: 'full', role: 'viewer', overrides: 'all' },
    { expiresEpochMs: Date.UTC(2030, 0) },
  ])('%j', (spec) => {
    expect(() => checkKey(spec)).not.toThrow();
  });
});

describe('a key has no', () => {
  test.each<{ spec: object; param: string }>([
    ...['', ' one', 'o\0ne', 'o\nne', 'x'.repeat(257)].map((name) => ({ spec: { name }, param: 'name' })),
    { spec: { team: 'a team' }, param: 'team' },
    { spec: { user: '.ada' }, param: 'user' },
    { spec: { organisation: 'x'.repeat(129) }, param: 'organisation' },
    { spec: { role: 'king' }, param: 'role' },
    { spec: { overrides: ['luck'] }, param: 'overrides' },
    { spec: { expiresEpochMs: NaN }, param: 'expires' },
    { spec: { expiresEpochMs: 1e300 }, param: 'expires' },
    { spec: { routes: ['a/b'] }, param: 'routes' },
    { spec: { models: ['openai*'] }, param: 'models' },
    { spec: { models: ['a,b'] }, param: 'models' },
    { spec: { models: ['*'] }, param: 'models' },
    { spec: { models: many(257, (index) => `m${index}`) }, param: 'models' },
    { spec: { regions: [''] }, param: 'regions' },
    { spec: { networks: ['10.0.0.0/33'] }, param: 'networks' },
    { spec: { networks: ['office'] }, param: 'networks' },
    { spec: { mayName: ['model'] }, param: 'may_name' },
    { spec: { tags: { 'a=b': 'c' } }, param: 'tags' },
    { spec: { tags: { env: '' } }, param: 'tags' },
    { spec: { tags: { env: 'x'.repeat(125) } }, param: 'tags' },
    { spec: { tags: Object.fromEntries(many(17, String).map((name) => [name, 'x'])) }, param: 'tags' },
    { spec: { logPayloads: 'some' }, param: 'log_payloads' },
  ])('$spec', ({ spec, param }) => {
    expect(() => checkKey(spec as Partial<KeySpec>)).toThrow(
      expect.objectContaining({ code: 'invalid_request', param }) as Error,
    );
  });
});
