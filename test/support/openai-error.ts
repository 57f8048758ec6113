import { expect } from 'vitest';
import { ERRORS } from '../../shared/errors.ts';
import type { ErrorCode } from '../../shared/errors.ts';
import type { RawAnswer } from './raw-http.ts';

export interface OpenAiErrorFields {
  readonly message: string;
  readonly type: string;
  readonly param: string | null;
  readonly code: string | null;
}

/**
 * Checks that an answer is OpenAI's error object, whole: the four fields and no others, the status and type of the
 * code's row, a request id, and whether to retry. Answers the fields.
 */
export async function expectOpenAiError(
  answer: Response | RawAnswer,
  code: ErrorCode,
  param: string | null = null,
): Promise<OpenAiErrorFields> {
  const { status, headers, body } = answer instanceof Response ? await fromFetch(answer) : answer;
  const { error } = JSON.parse(body) as { error: OpenAiErrorFields };
  const policy = ERRORS[code];
  expect({ status, error }).toEqual({
    status: policy.status,
    error: { message: expect.stringMatching(/^\S.*\S$/s) as string, type: policy.type, param, code },
  });
  expect(headers['content-type']).toMatch(/^application\/json\b/);
  expect(headers['x-request-id']).toMatch(/^req_[0-9a-f]{32}$/);
  expect(headers['x-should-retry']).toBe(policy.retry === 'never' ? 'false' : 'true');
  return error;
}

async function fromFetch(response: Response): Promise<RawAnswer> {
  return { status: response.status, headers: Object.fromEntries(response.headers), body: await response.text() };
}
