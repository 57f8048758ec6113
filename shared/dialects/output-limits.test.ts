import { expect, test } from 'vitest';
import { parseOpenAiRequest } from './openai.ts';
import { locateOutputLimits } from './output-limits.ts';

function located(fields: string): Record<string, string> {
  const content = JSON.stringify('"max_tokens":1');
  const body = Buffer.from(`{"model":"m","messages":[{"role":"user","content":${content}}]${fields}}`);
  const found = Object.entries(locateOutputLimits(parseOpenAiRequest('chat', body)));
  return Object.fromEntries(found.map(([name, at]) => [name, body.toString('utf8', ...(at as [number, number]))]));
}

test.each([
  { what: 'nothing', fields: '', found: {} },
  { what: 'one number', fields: ',"max_tokens": 12 ', found: { max_tokens: '12' } },
  { what: 'what is no number', fields: ',"max_tokens":null', found: { max_tokens: 'null' } },
  { what: 'a name with escapes', fields: ',"max\\u005ftokens":7', found: { max_tokens: '7' } },
  {
    what: 'both, and no count of choices',
    fields: ',"n":2,"max_completion_tokens":3,"max_tokens":4',
    found: { max_completion_tokens: '3', max_tokens: '4' },
  },
  { what: 'none of another object', fields: ',"metadata":{"max_tokens":"9"}', found: {} },
])('finds $what', ({ fields, found }) => {
  expect(located(fields)).toEqual(found);
});

test.each(['max_tokens', 'max_completion_tokens', 'n'])('%s twice is refused: which of them counts?', (name) => {
  const refusal = expect.objectContaining({ code: 'invalid_request', param: name }) as Error;
  expect(() => located(`,"${name}":1,"${name}":1000`)).toThrow(refusal);
});
