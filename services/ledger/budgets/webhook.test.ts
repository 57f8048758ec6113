import { readFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import { signatureOf } from './webhook.ts';

/** What the documentation gives to those who receive. */
async function documentedCheck(): Promise<(signature: string, body: string, secret: string, now: number) => boolean> {
  const page = readFileSync(new URL('../../../docs/budgets.md', import.meta.url), 'utf8');
  const code = /```js\n(.*?)```/s.exec(page)?.[1] ?? '';
  const { isFromSluice } = (await import(`data:text/javascript,${encodeURIComponent(code)}`)) as {
    isFromSluice: (signature: string, body: string, secret: string, now: number) => boolean;
  };
  return isFromSluice;
}

test('the check in the documentation takes what is ours, and nothing else', async () => {
  const isFromSluice = await documentedCheck();
  const body = '{"percent":80,"name":"naïve"}';
  const signature = signatureOf('hunter2', body, 1_700_000_000_999);
  expect(signature).toMatch(/^t=1700000000,v1=[0-9a-f]{64}$/);
  expect(isFromSluice(signature, body, 'hunter2', 1_700_000_010)).toBe(true);
  expect(isFromSluice(signature, `${body} `, 'hunter2', 1_700_000_010)).toBe(false);
  expect(isFromSluice(signature, body, 'hunter3', 1_700_000_010)).toBe(false);
  expect(isFromSluice(signature, body, 'hunter2', 1_700_000_301)).toBe(false);
  expect(isFromSluice('v1=00', body, 'hunter2', 1_700_000_010)).toBe(false);
});
