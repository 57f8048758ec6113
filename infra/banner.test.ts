import { expect, test } from 'vitest';
import { loadConfig } from '../shared/config.ts';
import { banner } from './banner.ts';

function linesOf(text: string): string[] {
  const config = loadConfig({ env: {}, cwd: '/srv', readFile: () => text });
  const facts = { version: '1', url: 'http://h', readyMs: 1, newKey: null, nats: 'n', ledger: 'l', models: [] };
  return banner({ ...facts, config }).split('\n');
}

test('says how each route is served, and where each router is', () => {
  const lines = linesOf(`
routes:
  plain: { targets: [{ model: simulated/echo, weight: 2 }, simulated/lorem], fallbacks: [simulated/echo] }
  split: { variants: { a: { weight: 9, targets: [simulated/echo] }, b: { targets: [simulated/lorem] } } }
routers: { eu: { strategy: ordered } }
`);
  expect(lines.map((line) => line.trim())).toEqual(
    expect.arrayContaining([
      'Routes     plain → simulated/echo × 2, simulated/lorem, else simulated/echo  (peak_ewma)',
      'split → a × 9: simulated/echo; b × 1: simulated/lorem  (peak_ewma)',
      'Router     eu   (OpenAI base URL: http://h/router/eu/v1)',
    ]),
  );
});
