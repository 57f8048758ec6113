import { Writable } from 'node:stream';
import { pino } from 'pino';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { answerJson, startHandmadeProvider } from '../support/handmade-provider.ts';
import type { HandmadeProvider } from '../support/handmade-provider.ts';
import { TEST_KEY } from '../support/gateway.ts';
import { keyOf, startJourney } from '../support/journey.ts';
import type { Journey, Played } from '../support/journey.ts';

const TRACEPARENT = '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01';
const SECRET = keyOf('quoting');
const QUOTED = `emsg=key+${SECRET}&ecode=${SECRET}&eparam=${SECRET}&etype=${SECRET}`;

let journey: Journey;
let handmade: HandmadeProvider;
const logged: string[] = [];

beforeAll(async () => {
  handmade = await startHandmadeProvider();
  const quoting = (script: string): Played => ({ script: `${script}&${QUOTED}`, api_key: SECRET });
  const sink = new Writable({ write: (line: Buffer, _encoding, done) => (logged.push(line.toString()), done()) });
  journey = await startJourney({
    log: pino({ level: 'trace' }, sink),
    providers: {
      good: '',
      telling: 'ratelimit&setcookie',
      throttling: 'seq=429&ratelimit&setcookie',
      rejecting: 'seq=400',
      handmade: { script: '', base_url: `${handmade.url}/v1` },
      'quoting-400': quoting('seq=400'),
      'quoting-401': quoting('seq=401'),
      'quoting-429': quoting('seq=429'),
      'quoting-500': quoting('seq=500'),
      'quoting-early': quoting('seq=role-then-err'),
      'quoting-late': quoting('seq=err'),
      'quoting-200': quoting('seq=err200'),
    },
  });
});

afterAll(async () => {
  await journey.stop();
  await handmade.stop();
});

function shown(response: Response): Record<string, string> {
  return Object.fromEntries(response.headers);
}

describe.each([true, false])('stream: %s', (stream) => {
  test('an answer says what became of its request', async () => {
    const response = await journey.chat('good/m', { stream });
    await response.text();
    expect(shown(response)).toMatchObject({
      'x-request-id': expect.stringMatching(/^req_[0-9a-f]{32}$/) as string,
      'x-sluice-deployment': 'good/m',
      'x-sluice-attempts': '1',
      'x-sluice-queue-ms': expect.stringMatching(/^\d+$/) as string,
      'content-type': stream ? 'text/event-stream; charset=utf-8' : 'application/json',
    });
  });

  test('the provider’s rate limits and request id are shown under names of their own', async () => {
    const response = await journey.chat('telling/m', { stream });
    await response.text();
    expect(shown(response)).toMatchObject({
      'x-upstream-request-id': expect.stringMatching(/^req_mock\d+$/) as string,
      'x-upstream-ratelimit-limit-requests': '10000',
      'x-upstream-ratelimit-remaining-tokens': '1999000',
      'x-upstream-ratelimit-reset-requests': '6ms',
      'x-request-id': expect.stringMatching(/^req_[0-9a-f]{32}$/) as string,
    });
  });

  test('a provider’s cookies and its own rate limit headers stay inside', async () => {
    const response = await journey.chat('telling/m', { stream });
    await response.text();
    const names = Object.keys(shown(response));
    expect(
      names.filter((name) => name === 'set-cookie' || name.startsWith('x-ratelimit') || name.startsWith('openai-')),
    ).toEqual([]);
  });
});

test('cookies stay inside when the provider fails, too', async () => {
  const response = await journey.chat('throttling/m');
  expect(response.headers.has('set-cookie')).toBe(false);
});

test('a failed request has its id, and says who was asked', async () => {
  const response = await journey.chat('rejecting/m');
  expect(shown(response)).toMatchObject({
    'x-request-id': expect.stringMatching(/^req_/) as string,
    'x-sluice-deployment': 'rejecting/m',
    'x-sluice-failed': 'rejecting/m=upstream_rejected',
    'x-sluice-attempts': '1',
  });
});

test('a header of the provider that HTTP libraries would refuse to send on does no harm', async () => {
  handmade.answer = (_request, response) => {
    const body =
      '{"id":"1","object":"chat.completion","created":1,"model":"m","choices":[{"index":0,"message":{"role":"assistant","content":"hi"},"finish_reason":"stop"}]}';
    response.socket?.end(
      Buffer.from(
        `HTTP/1.1 200 OK\r\ncontent-type: application/json\r\nx-request-id: caf\u00e9 模型\r\nx-ratelimit-limit-requests: 5\r\ncontent-length: ${body.length}\r\n\r\n${body}`,
      ),
    );
  };
  const response = await journey.chat('handmade/m');
  expect({ status: response.status, limit: response.headers.get('x-upstream-ratelimit-limit-requests') }).toEqual({
    status: 200,
    limit: '5',
  });
});

describe('the provider sees', () => {
  const ANSWER =
    '{"id":"1","object":"chat.completion","created":1,"model":"m","choices":[{"index":0,"message":{"role":"assistant","content":"hi"},"finish_reason":"stop"}]}';
  const headersAt = async (headers: Record<string, string>): Promise<object> => {
    handmade.answer = answerJson(ANSWER);
    const response = await journey.chat('handmade/m', {}, { headers });
    expect(response.status).toBe(200);
    return handmade.requests.at(-1)?.headers ?? {};
  };

  test('the trace that the request belongs to', async () => {
    expect(await headersAt({ traceparent: TRACEPARENT })).toHaveProperty('traceparent', TRACEPARENT);
  });

  test.each(['x', `${TRACEPARENT}-${'f'.repeat(100)}`, `${TRACEPARENT.slice(0, -1)}g`])(
    'no trace that is none (%s)',
    async (traceparent) => {
      expect(await headersAt({ traceparent })).not.toHaveProperty('traceparent');
    },
  );

  test('its own credential, and never the client’s', async () => {
    const headers = await headersAt({ 'api-key': 'sk-other', cookie: 'session=1', 'x-forwarded-for': '10.0.0.1' });
    expect(headers).toMatchObject({ authorization: `Bearer ${keyOf('handmade')}` });
    expect(JSON.stringify(headers)).not.toMatch(new RegExp(`${TEST_KEY}|sk-other|session=1|10\\.0\\.0\\.1`));
  });
});

describe('a provider’s credential reaches no client', () => {
  test.each([
    'quoting-400',
    'quoting-401',
    'quoting-429',
    'quoting-500',
    'quoting-early',
    'quoting-late',
    'quoting-200',
  ])('%s', async (name) => {
    for (const stream of [true, false]) {
      const response = await journey.chat(`${name}/m`, { stream });
      expect(JSON.stringify(shown(response)) + (await response.text())).not.toContain(SECRET);
    }
  });
});

test('no credential and no prompt reaches the log, whatever its level', () => {
  const text = logged.join('');
  expect(text).toContain('"requestId"');
  for (const secret of [SECRET, TEST_KEY, keyOf('good'), 'Say something']) expect(text).not.toContain(secret);
});
