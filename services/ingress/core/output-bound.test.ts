import { expect, test } from 'vitest';
import { parseOpenAiRequest } from '../../../shared/dialects/openai.ts';
import { locateOutputLimits } from '../../../shared/dialects/output-limits.ts';
import { boundToTell } from './output-bound.ts';

const deployment = { maxOutputTokens: 100, outputLimit: 'max_tokens' } as const;

test.each([
  { what: 'nothing, where the body says no more than that', fields: ',"max_tokens":100', tokens: undefined },
  { what: 'the bound, where the body says more', fields: ',"max_tokens":101', tokens: 100 },
  { what: 'the bound, where the body says nothing', fields: '', tokens: 100 },
  { what: 'the bound, where the body says what is no count', fields: ',"max_tokens":"7"', tokens: 100 },
  { what: 'what the body says by another name', fields: ',"max_completion_tokens":7', tokens: 7 },
  { what: 'what counts, where both are named', fields: ',"max_tokens":9,"max_completion_tokens":7', tokens: 7 },
])('a provider is told $what', ({ fields, tokens }) => {
  const body = Buffer.from(`{"model":"m","messages":[{"role":"user","content":"?"}]${fields}}`);
  const request = parseOpenAiRequest('chat', body);
  expect(boundToTell(deployment, request, locateOutputLimits(request))?.tokens).toBe(tokens);
});

test('a provider is told nothing of embeddings, which have no output', () => {
  const request = parseOpenAiRequest('embeddings', Buffer.from('{"model":"m","input":"?"}'));
  expect(boundToTell(deployment, request, {})).toBeUndefined();
});
