import { expect, test } from 'vitest';
import { usageEvent } from '../testing/usage-event.ts';
import { readEvents } from './read-events.ts';

const read = (text: string): ReturnType<typeof readEvents> => readEvents(Buffer.from(text));

test.each([
  { why: 'no JSON', text: 'hello', reason: 'not JSON' },
  { why: 'no list', text: '{"v":1}', reason: 'breaks its schema: (root): invalid_type' },
  { why: 'empty', text: '', reason: 'not JSON' },
])('a message that is $why is poisoned as a whole', ({ text, reason }) => {
  expect(read(text)).toEqual({ events: [], poisoned: [{ event: text, reason }] });
});

test('a bad event costs only itself', () => {
  const good = [usageEvent(), usageEvent()];
  const bad = { ...usageEvent(), costNanoUsd: 1.5 };
  const { events, poisoned } = read(JSON.stringify([good[0], bad, good[1]]));
  expect(events).toEqual(good);
  expect(poisoned).toEqual([{ event: JSON.stringify(bad), reason: 'breaks its schema: costNanoUsd: invalid_type' }]);
});

test('a reason never shows a value', () => {
  const { poisoned } = read(JSON.stringify([{ ...usageEvent(), source: 'a secret', endpoint: 'a secret' }]));
  expect(poisoned[0]?.reason).not.toContain('secret');
});

test('unknown fields pass', () => {
  expect(read(JSON.stringify([usageEvent({ later: 1 })])).events).toHaveLength(1);
});

test('bytes that are not UTF-8 are poisoned, not thrown', () => {
  expect(readEvents(Buffer.from([0xff, 0xfe, 0x00])).poisoned).toHaveLength(1);
});
