import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import type { OutputLimit } from '../../../shared/config.ts';
import { OUTPUT_LIMITS, locateOutputLimits } from '../../../shared/dialects/output-limits.ts';
import { editBytes } from '../core/edit-bytes.ts';
import { boundOutput } from './bound-output.ts';

function bounded(text: string, bound: number, limit: OutputLimit = 'max_tokens', cutAt = 0): string {
  const body = Buffer.from(text);
  const parts = [body.subarray(0, cutAt), body.subarray(cutAt)].filter(({ length }) => length > 0);
  const boundedBy = OUTPUT_LIMITS.filter((name) => name in (JSON.parse(text) as object));
  const at = locateOutputLimits({ body, boundedBy });
  return Buffer.concat(editBytes(parts, boundOutput(parts, { tokens: bound, at }, limit))).toString();
}

describe('a provider is told', () => {
  test.each<{ what: string; body: string; limit?: OutputLimit; sent: string }>([
    { what: 'the bound, where the client says nothing', body: '{"n":1}', sent: '{"max_tokens":10,"n":1}' },
    {
      what: 'it by its own name',
      body: '{"n":1}',
      limit: 'max_completion_tokens',
      sent: '{"max_completion_tokens":10,"n":1}',
    },
    { what: 'less, where the client wants less', body: '{"max_tokens": 9}', sent: '{"max_tokens": 9}' },
    { what: 'the bound, where the client wants more', body: '{"max_tokens": 11 }', sent: '{"max_tokens": 10 }' },
    { what: 'the bound in place of what is no count', body: '{"max_tokens":"99"}', sent: '{"max_tokens":10}' },
    { what: 'the bound in place of null', body: '{"a":1,"max_tokens":null}', sent: '{"a":1,"max_tokens":10}' },
    {
      what: 'the client’s number by the name that it knows',
      body: '{"max_completion_tokens":5,"n":1}',
      sent: '{"max_tokens":5,"n":1}',
    },
    {
      what: 'the same for the last member',
      body: '{"a":1, "max_tokens" : 50}',
      limit: 'max_completion_tokens',
      sent: '{"a":1, "max_completion_tokens":10}',
    },
    {
      what: 'both, where the client names both',
      body: '{"max_completion_tokens":50,"max_tokens":5}',
      sent: '{"max_completion_tokens":10,"max_tokens":5}',
    },
    {
      what: 'nothing of a name inside of something else',
      body: '{"metadata":{"max_tokens":99}}',
      sent: '{"max_tokens":10,"metadata":{"max_tokens":99}}',
    },
    { what: 'it, however the name is spelled', body: '{"max\\u005ftokens":99}', sent: '{"max\\u005ftokens":10}' },
  ])('$what', ({ body, limit, sent }) => {
    expect(bounded(body, 10, limit)).toBe(sent);
  });

  test('the same wherever the body is cut', () => {
    const body = '{"messages":[],"max_completion_tokens":50}';
    for (let at = 0; at < body.length; at++)
      expect(bounded(body, 10, 'max_tokens', at)).toBe('{"messages":[],"max_tokens":10}');
  });
});

test('whatever stands there, one number that is no larger than the bound is left, and nothing else changes', () => {
  const value = fc.oneof(fc.integer({ min: -5, max: 50 }), fc.constantFrom(null, 'x', 1.5, 1e300, true));
  const fields = fc.record({ a: fc.json(), max_tokens: value, max_completion_tokens: value }, { requiredKeys: [] });
  fc.assert(
    fc.property(fields, fc.integer({ min: 1, max: 30 }), (request, bound) => {
      const {
        a,
        max_tokens: said,
        ...others
      } = JSON.parse(bounded(JSON.stringify({ ...request, m: 1 }), bound)) as Record<string, unknown>;
      expect(said).toSatisfy(
        (tokens) => Number.isInteger(tokens) && (tokens as number) > 0 && (tokens as number) <= bound,
      );
      expect(a).toEqual(request.a);
      const isBoth = 'max_tokens' in request && 'max_completion_tokens' in request;
      expect(Object.keys(others).sort()).toEqual(isBoth ? ['m', 'max_completion_tokens'].sort() : ['m']);
    }),
  );
});
