import OpenAI from 'openai';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { startHandmadeProvider } from '../support/handmade-provider.ts';
import type { HandmadeProvider } from '../support/handmade-provider.ts';
import { errorOf, keyOf, requestIdOf, startJourney } from '../support/journey.ts';
import type { Journey } from '../support/journey.ts';

/** The caller's own mistakes, as a provider says them. */
const REJECTED = [400, 404, 405, 413, 415, 422, 451].map((status) => ({ status, name: `says${status}` }));
const SAID = 'etype=odd_type&ecode=odd_code&eparam=messages[3].content&emsg=No+such+thing:+caf%C3%A9.';

let journey: Journey;
let handmade: HandmadeProvider;

beforeAll(async () => {
  handmade = await startHandmadeProvider();
  journey = await startJourney({
    providers: {
      good: '',
      handmade: { script: '', base_url: `${handmade.url}/v1` },
      ...Object.fromEntries(REJECTED.map(({ status, name }) => [name, `seq=${status}&${SAID}`])),
      denying: `seq=401&emsg=Incorrect+API+key+provided:+${keyOf('denying')}.+Visit+example.com`,
      'denying-in-stream': `seq=role-then-err&ecode=invalid_api_key&etype=invalid_request_error&emsg=Incorrect+key+${keyOf('denying-in-stream')}`,
      'rejecting-in-stream':
        'seq=role-then-err&etype=invalid_request_error&ecode=invalid_value&eparam=messages&emsg=Too+odd.',
      'too-long': 'seq=400&ecode=context_length_exceeded&etype=invalid_request_error&eparam=messages&emsg=Too+long.',
      filtering: 'seq=400&ecode=content_filter&emsg=No.',
      'throttling-in-stream': 'seq=role-then-err&etype=rate_limit_error&ecode=rate_limit_exceeded&emsg=Slow+down.',
      numbered: 'seq=400&ecode=20012',
      broke: 'seq=429&ecode=insufficient_quota&etype=insufficient_quota&ra=-',
    },
    routes: Object.fromEntries(
      [
        ...REJECTED.map(({ name }) => name),
        'denying',
        'denying-in-stream',
        'rejecting-in-stream',
        'throttling-in-stream',
        'too-long',
      ].map((name) => [`${name}-or-good`, { strategy: 'ordered', targets: [`${name}/m`, 'good/m'] }]),
    ),
  });
});

afterAll(async () => {
  await journey.stop();
  await handmade.stop();
});

describe.each(REJECTED)('a provider’s $status', ({ status, name }) => {
  test('reaches the client as it was said', async () => {
    const response = await journey.chat(`${name}/m`);
    expect(response.status).toBe(status);
    expect(await errorOf(response)).toEqual({
      message: 'No such thing: café.',
      type: 'odd_type',
      param: 'messages[3].content',
      code: 'odd_code',
    });
  });

  test('is not tried again: not elsewhere, and not by the client', async () => {
    const asked = journey.counted('good').requests;
    const response = await journey.chat(`${name}-or-good`);
    expect(response.status).toBe(status);
    expect(response.headers.get('x-should-retry')).toBe('false');
    expect(journey.counted('good').requests).toBe(asked);
  });

  test('costs nothing', async () => {
    const response = await journey.chat(`${name}-or-good`, { stream: true });
    const rows = await journey.gateway.rowsOf(requestIdOf(response), 1);
    expect(rows).toMatchObject([{ error: 'upstream_rejected', upstream_status: status, cost_nano_usd: '0' }]);
  });
});

describe('an error whose body is no error object', () => {
  const BODIES = [
    {
      what: 'a page',
      status: 400,
      body: '<html><body>Bad Request</body></html>',
      message: 'The provider answered with status 400.',
    },
    { what: 'nothing', status: 400, body: '', message: 'The provider answered with status 400.' },
    { what: 'a text', status: 400, body: '{"error":"No such thing."}', message: 'No such thing.' },
    {
      what: 'a bare message',
      status: 422,
      body: '{"message":"No such thing.","type":"odd"}',
      message: 'No such thing.',
    },
    {
      what: 'a page of 5 MB',
      status: 400,
      body: 'x'.repeat(5_000_000),
      message: 'The provider answered with status 400.',
    },
  ];

  test.each(BODIES)('but $what still has its status, and OpenAI’s shape', async ({ status, body, message }) => {
    handmade.answer = (_request, response) => void response.writeHead(status).end(body);
    const response = await journey.chat('handmade/m');
    expect(response.status).toBe(status);
    expect(await errorOf(response)).toMatchObject({ message, param: null, code: 'upstream_rejected' });
  });

  test('but a redirect is not followed: the credential stays where it was sent', async () => {
    handmade.answer = (_request, response) =>
      void response.writeHead(307, { location: `${journey.provider.url}/v1/chat/completions` }).end();
    const before = journey.provider.stats().total.requests;
    const response = await journey.chat('handmade/m');
    expect({ status: response.status, code: (await errorOf(response)).code }).toEqual({
      status: 502,
      code: 'upstream_failed',
    });
    expect(journey.provider.stats().total.requests).toBe(before);
  });

  test('but a connection that breaks in its middle still has its status', async () => {
    handmade.answer = (_request, response) => {
      response.writeHead(400, { 'content-length': 1_000 });
      response.write('{"error":');
      setImmediate(() => response.destroy());
    };
    expect((await journey.chat('handmade/m')).status).toBe(400);
  });
});

test('the SDK throws the exception of the provider’s status', async () => {
  const asked = journey.openai.chat.completions.create({
    model: 'says422/m',
    messages: [{ role: 'user', content: 'hello' }],
  });
  await expect(asked).rejects.toBeInstanceOf(OpenAI.UnprocessableEntityError);
});

test('nothing of what a provider says of the gateway’s credential reaches the client', async () => {
  const response = await journey.chat('denying/m');
  expect(response.status).toBe(502);
  const text = await response.text();
  expect(JSON.parse(text)).toEqual({
    error: {
      message: 'The provider refused the gateway’s credential.',
      type: 'server_error',
      param: null,
      code: 'upstream_unauthorized',
    },
  });
});

test('a refused credential is another deployment’s chance', async () => {
  const response = await journey.chat('denying-or-good');
  expect(response.headers.get('x-sluice-deployment')).toBe('good/m');
});

test('a refused credential told inside of a stream is another deployment’s chance too', async () => {
  const response = await journey.chat('denying-in-stream-or-good', { stream: true });
  expect(response.headers.get('x-sluice-deployment')).toBe('good/m');
  await response.text();
});

test('a refused credential told inside of a stream is not repeated to the client', async () => {
  const response = await journey.chat('denying-in-stream/m', { stream: true });
  expect({ status: response.status, error: await errorOf(response) }).toEqual({
    status: 502,
    error: {
      message: 'The provider refused the gateway’s credential.',
      type: 'server_error',
      param: null,
      code: 'upstream_unauthorized',
    },
  });
});

test('a rejection told inside of a stream, before its content, is told with a status', async () => {
  const asked = journey.counted('good').requests;
  const response = await journey.chat('rejecting-in-stream-or-good', { stream: true });
  expect({ status: response.status, error: await errorOf(response) }).toEqual({
    status: 400,
    error: { message: 'Too odd.', type: 'invalid_request_error', param: 'messages', code: 'invalid_value' },
  });
  expect(journey.counted('good').requests).toBe(asked);
});

test('what is too long for one deployment is another’s chance', async () => {
  const response = await journey.chat('too-long-or-good');
  expect(response.headers.get('x-sluice-deployment')).toBe('good/m');
});

test('what is too long for all is told in the provider’s words, and not to be tried again', async () => {
  const response = await journey.chat('too-long/m');
  expect([response.status, response.headers.get('x-should-retry')]).toEqual([400, 'false']);
  expect(await errorOf(response)).toEqual({
    message: 'Too long.',
    type: 'invalid_request_error',
    param: 'messages',
    code: 'context_length_exceeded',
  });
});

test('what a content filter refuses is told in the provider’s words', async () => {
  const response = await journey.chat('filtering/m');
  expect({ status: response.status, error: await errorOf(response) }).toMatchObject({
    status: 400,
    error: { message: 'No.', code: 'content_filter' },
  });
  expect(await journey.gateway.rowsOf(requestIdOf(response), 1)).toMatchObject([{ error: 'content_filtered' }]);
});

test('throttling told inside of a stream is another deployment’s chance', async () => {
  const response = await journey.chat('throttling-in-stream-or-good', { stream: true });
  expect(response.headers.get('x-sluice-deployment')).toBe('good/m');
  await response.text();
});

test('a code that is a number is told as text', async () => {
  expect((await errorOf(await journey.chat('numbered/m'))).code).toBe('20012');
});

test('an exhausted quota keeps its code, and promises no time to come back', async () => {
  const response = await journey.chat('broke/m');
  expect({
    status: response.status,
    code: (await errorOf(response)).code,
    retryAfter: response.headers.get('retry-after'),
  }).toEqual({
    status: 429,
    code: 'insufficient_quota',
    retryAfter: null,
  });
});
