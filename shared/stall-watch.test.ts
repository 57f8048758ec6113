import { expect, test } from 'vitest';
import { StallWatch } from './stall-watch.ts';

test.each([
  { looks: [50, 100, 150], stalls: [0, 0, 0], why: 'in time' },
  { looks: [150, 200, 340], stalls: [0, 0, 0], why: 'a little late' },
  { looks: [50, 1_100, 1_150], stalls: [0, 1_000, 0], why: 'a second late, once' },
  { looks: [10, 20, 30], stalls: [0, 0, 0], why: 'early' },
])('$why: $stalls', ({ looks, stalls }) => {
  const watch = new StallWatch(50, 0);
  expect(looks.map((now) => watch.stalledMs(now))).toEqual(stalls);
});
