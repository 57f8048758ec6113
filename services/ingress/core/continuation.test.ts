import { describe, expect, test } from 'vitest';
import { parseOpenAiRequest } from '../../../shared/dialects/openai.ts';
import type { AdmittedRequest } from '../request.ts';
import { continueRequest, readSaid } from './continuation.ts';

const event = (fields: object): string => `data: ${JSON.stringify({ id: 'chatcmpl-1', created: 7, ...fields })}\n\n`;
const says = (delta: object, more: object = {}): string => event({ choices: [{ index: 0, delta, ...more }] });
const ROLE = says({ role: 'assistant', content: '' });
const HALLO = ROLE + says({ content: 'Hällo, ' }) + says({ content: '"you"\n' });

describe('what a client has of a stream', () => {
  const read = (stream: string): ReturnType<typeof readSaid> => readSaid(Buffer.from(stream));

  test('is its text, under the name that the stream began with', () => {
    expect(read(HALLO)).toEqual({ id: 'chatcmpl-1', created: 7, text: 'Hällo, "you"\n' });
  });

  test.each([
    { what: 'comments', stream: `: keep-alive\n\n${HALLO}: keep-alive\n\n` },
    { what: 'other line ends', stream: HALLO.replaceAll('\n', '\r\n') },
    { what: 'fields of an event that mean nothing here', stream: `event: message\nid: 1\nretry: 5\n${HALLO}` },
    { what: 'an event before the first choice, of another name', stream: event({ id: '', choices: [] }) + HALLO },
    { what: 'reasoning beside the text', stream: says({ reasoning_content: 'Hm.', content: null }) + HALLO },
    { what: 'what is empty', stream: HALLO + says({ tool_calls: [], refusal: null, content: null }) },
  ])('is the same with $what', ({ stream }) => {
    expect(read(stream)).toEqual({ id: 'chatcmpl-1', created: 7, text: 'Hällo, "you"\n' });
  });

  test.each([
    { what: 'nothing', stream: '' },
    { what: 'no text', stream: ROLE },
    { what: 'a part of an event', stream: HALLO.slice(0, -1) },
    { what: 'its finish', stream: HALLO + says({}, { finish_reason: 'stop' }) },
    { what: 'its end mark', stream: `${HALLO}data: [DONE]\n\n` },
    { what: 'a tool call', stream: HALLO + says({ tool_calls: [{ index: 0 }] }) },
    { what: 'a refusal', stream: HALLO + says({ refusal: 'No' }) },
    { what: 'sound', stream: HALLO + says({ audio: { id: 'a' } }) },
    { what: 'a second choice', stream: HALLO + event({ choices: [{ index: 1, delta: { content: 'x' } }] }) },
    { what: 'an error', stream: `${HALLO}data: {"error":{}}\n\n` },
  ])('cannot be gone on from when it holds $what', ({ stream }) => {
    expect(read(stream)).toBeUndefined();
  });
});

describe('a request for the rest', () => {
  const request = (fields: string): AdmittedRequest => ({
    ...parseOpenAiRequest('chat', Buffer.from(`{${fields}}`)),
    ...{ id: 'req_1', principal: { keyId: 'k', keyName: 'k', team: null }, kin: 'session', traceparent: undefined },
    ...{ receivedAt: 0, deadlineEpochMs: 0 },
    ...{
      lane: 'interactive',
      via: undefined,
      overrides: undefined,
      sketch: undefined,
      sluice: undefined,
      metadata: undefined,
      prompt: undefined,
      nameKey: undefined,
      servedAs: undefined,
      mustBePriced: false,
      attribution: { organisation: null, team: null, user: null, keyId: 'k', feature: null, session: null, tags: {} },
    },
  });
  const SAID = { id: 'chatcmpl-1', created: 7, text: 'So "far"' };
  const MESSAGE = '{"role":"assistant","content":"So \\"far\\""}';
  const user = '{"role":"user","content":"]"}';

  test.each([
    {
      fields: `"seed":12345678901234567890,"model":"m","messages":[ ${user} ],"stream":true`,
      sent: `"seed":12345678901234567890,"model":"m","messages":[ ${user} ,${MESSAGE}],"stream":true`,
      why: 'with the text so far, and every other byte as it was',
    },
    {
      fields: `"max_tokens":100,"messages":[${user}],"model":"m","max_completion_tokens":5,"n":1`,
      sent: `"max_tokens":90,"messages":[${user},${MESSAGE}],"model":"m","max_completion_tokens":1,"n":1`,
      why: 'for as many tokens fewer, one at least',
    },
    {
      fields: `"messages":[${user}],"model":"m","response_format":{"type":"text"},"max_tokens":null`,
      sent: `"messages":[${user},${MESSAGE}],"model":"m","response_format":{"type":"text"},"max_tokens":null`,
      why: 'with what is said to be as usual',
    },
  ])('is the request $why', ({ fields, sent }) => {
    const asked = request(fields);
    const continued = continueRequest(asked, SAID, 10);
    const text = continued?.request.body.toString() ?? '';
    expect(text).toBe(`{${sent}}`);
    expect(continued?.request).toMatchObject({ id: 'req_1', kin: 'session', model: 'm' });
    const [start, end] = continued?.request.modelAt ?? [0, 0];
    expect(text.slice(start, end)).toBe('"m"');
    const { messageEnd, ...name } = continued?.continues ?? { messageEnd: 0 };
    expect(name).toEqual({ id: 'chatcmpl-1', created: 7 });
    expect(text.slice(0, messageEnd + 1).endsWith(MESSAGE)).toBe(true);
  });

  test.each([
    { what: 'several choices', fields: `"model":"m","n":2,"messages":[${user}]` },
    {
      what: 'a grammar, which would begin anew',
      fields: `"model":"m","messages":[${user}],"response_format":{"type":"json_object"}`,
    },
    { what: 'an assistant’s message at its end', fields: `"model":"m","messages":[{"role":"assistant"}]` },
    { what: 'its messages twice', fields: `"model":"m","messages":[${user}],"messages":[${user}]` },
  ])('cannot be made of one with $what', ({ fields }) => {
    expect(continueRequest(request(fields), SAID, 10)).toBeUndefined();
  });
});
