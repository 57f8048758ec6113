import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { startTestGateway, TEST_KEY } from '../support/gateway.ts';
import type { TestGateway } from '../support/gateway.ts';
import { expectOpenAiError } from '../support/openai-error.ts';
import { startProvider } from '../support/provider.ts';
import type { ScriptedProvider } from '../support/provider.ts';

let provider: ScriptedProvider;
let gateway: TestGateway;

beforeAll(async () => {
  provider = await startProvider({ defaults: 'n=2' });
  gateway = await startTestGateway({
    log: 'fatal',
    yaml: `
providers: { p: { base_url: "${provider.url}/v1", models: { m: {} } } }
routes: { chat: { targets: [p/m] }, shared: { targets: [p/m] } }
routers:
  research: { strategy: ordered, routes: { own: { targets: [p/m] }, shared: { targets: [p/m] } } }
  support: {}`,
  });
});

afterAll(async () => {
  await gateway.stop();
  await provider.stop();
});

const chat = (model: string): object => ({ model, messages: [{ role: 'user', content: 'hi' }] });
const get = (path: string, key = TEST_KEY): Promise<Response> =>
  fetch(`${gateway.url}${path}`, { headers: { authorization: `Bearer ${key}` } });

describe('behind the door of a router', () => {
  test.each(['chat', 'p/m'])('a name that all know is served: %s', async (model) => {
    const response = await gateway.post('/router/research/v1/chat/completions', chat(model));
    expect([response.status, response.headers.get('x-sluice-deployment')]).toEqual([200, 'p/m']);
    expect(await response.json()).toMatchObject({ model });
  });

  test('streams and embeddings come as before the others', async () => {
    const stream = await gateway.post('/router/support/v1/chat/completions', { ...chat('p/m'), stream: true });
    expect(await stream.text()).toMatch(/data: \[DONE\]\n\n$/);
    const embeddings = await gateway.post('/router/support/v1/embeddings', { model: 'p/m', input: 'x' });
    expect(await embeddings.json()).toMatchObject({ object: 'list' });
  });

  test('its own routes are listed first, and a name that two have once', async () => {
    const ids = async (path: string): Promise<string[]> =>
      ((await (await get(path)).json()) as { data: { id: string }[] }).data.map(({ id }) => id);
    expect(await ids('/router/research/v1/models')).toEqual(['own', 'shared', 'chat', 'p/m']);
    expect(await ids('/router/support/v1/models')).toEqual(['chat', 'shared', 'p/m']);
    expect(await ids('/v1/models')).toEqual(['chat', 'shared', 'p/m']);
  });

  test('a model is described there, and nowhere else when it is the router’s own', async () => {
    const described = await (await get('/router/research/v1/models/own')).json();
    expect(described).toMatchObject({ id: 'own', object: 'model', owned_by: 'sluice' });
    expect(await (await get('/router/research/v1/models/p/m')).json()).toMatchObject({ id: 'p/m', owned_by: 'p' });
    await expectOpenAiError(await get('/v1/models/own'), 'model_not_found', 'model');
    await expectOpenAiError(await get('/router/support/v1/models/own'), 'model_not_found', 'model');
  });
});

describe('a router that nobody knows', () => {
  test.each(['/chat/completions', '/embeddings'])('is no door for %s', async (path) => {
    const error = await expectOpenAiError(await gateway.post(`/router/reserch/v1${path}`, {}), 'router_not_found');
    expect(error.message).toBe('There is no router `reserch`; did you mean `research`?');
  });

  test.each(['/models', '/models/p/m'])('is no door for %s', async (path) => {
    const error = await expectOpenAiError(await get(`/router/nobody${'/v1'}${path}`), 'router_not_found');
    expect(error.message).toBe('There is no router `nobody`.');
  });

  test('is told to nobody without a key', async () => {
    await expectOpenAiError(await get('/router/reserch/v1/models', 'sk-wrong'), 'invalid_api_key');
  });
});

test.each([
  { method: 'GET', path: '/router/research/v1/chat/completions', allow: 'POST' },
  { method: 'POST', path: '/router/research/v1/models', allow: 'GET, HEAD' },
  { method: 'DELETE', path: '/router/research/v1/models/p/m', allow: 'GET, HEAD' },
])('$method $path is told what may be done there', async ({ method, path, allow }) => {
  const response = await fetch(`${gateway.url}${path}`, { method, headers: { authorization: `Bearer ${TEST_KEY}` } });
  expect(response.headers.get('allow')).toBe(allow);
  await expectOpenAiError(response, 'method_not_allowed');
});

test.each(['/router', '/router/research', '/router/research/v1', '/router/research/v2/models', '/router//v1/models'])(
  'nothing is at %s',
  async (path) => {
    await expectOpenAiError(await get(path), path === '/router//v1/models' ? 'router_not_found' : 'unknown_url');
  },
);
