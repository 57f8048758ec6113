import { expect, test } from 'vitest';
import { loadConfig } from './load.ts';
import { redactConfig } from './redact.ts';

const TEXT = `
nats: { url: "nats://hidden@a:4222,nats://user:hidden@b:4222" }
database: { url: "postgres://user:hidden@db:5432/sluice?sslmode=require&password=hidden" }
redis: { url: "redis://cache:6379/1" }
auth: { admin_key: hidden-admin, secret: hidden-secret-of-hashes, jwt: [{ issuer: "https://id", audience: a, roles: { x: admin } }], keys: [{ name: ci, key: hidden-ci, team: platform }] }
providers:
  openai: { api_key: hidden-openai }
  vllm: { base_url: "http://x", models: { m: { price: { input: "1 USD", output: "2 USD" } } } }
routes: { r: { strategy: complexity, targets: [{ model: vllm/m, tier: simple }], complexity: { teams: { a: complex } } } }
routers: { x: { routes: { own: { targets: [vllm/m] } } } }
queue: { weights: { platform: 3 } }
`;

const shown = redactConfig(loadConfig({ env: {}, cwd: '/srv', readFile: () => TEXT }));

test('no secret is left', () => {
  expect(JSON.stringify(shown)).not.toContain('hidden');
});

test('the rest is, as JSON can show it', () => {
  expect(JSON.parse(JSON.stringify(shown))).toMatchObject({
    nats: { url: 'nats://[redacted]@a:4222,nats://[redacted]@b:4222' },
    database: { url: 'postgres://[redacted]@db:5432/sluice?[redacted]' },
    redis: { url: 'redis://cache:6379/1' },
    auth: {
      ...{ adminKey: '[redacted]', secret: '[redacted]', jwt: [{ issuer: 'https://id', roles: { x: 'admin' } }] },
      keys: [{ name: 'ci', key: '[redacted]', team: 'platform' }],
    },
    providers: [
      { name: 'openai', apiKey: '[redacted]', models: [] },
      { name: 'vllm', models: [{ name: 'm', upstream: 'm', price: { input: 1e9, output: 2e9 } }] },
    ],
    routes: [{ name: 'r', complexity: { teams: { a: 'complex' } } }],
    routers: [{ name: 'x', routes: [{ name: 'own', complexity: { teams: {} } }] }],
    queueWeights: { platform: 3 },
  });
});
