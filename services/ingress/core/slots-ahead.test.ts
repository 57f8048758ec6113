import { describe, expect, test } from 'vitest';
import type { Placed, SlotRange } from '../../../shared/messages/envelope.ts';
import { AHEAD_FOR_MS } from '../../../shared/messages/slots.ts';
import { aheadOf, SlotsAhead } from './slots-ahead.ts';

const placed = (ahead: SlotRange[] | undefined, router = 'r', pool = 'p'): Placed => ({
  v: 1,
  deployment: `${pool}/m`,
  pool,
  worker: 'w',
  router,
  slot: 1,
  route: 'a-route',
  reason: 'ordered',
  queueMs: 17,
  timeoutMs: 5_000,
  ...(ahead === undefined ? {} : { ahead }),
});

/** Holds these slots for `m`, as of `now`. */
function holding(ahead: SlotRange[], now = 0, router = 'r', pool = 'p'): SlotsAhead {
  const slots = new SlotsAhead();
  slots.take('m', now);
  expect(slots.add('m', placed(ahead, router, pool), now)).toEqual([]);
  return slots;
}

const takenOf = (slots: SlotsAhead, count: number, now = 0): Array<string | undefined> =>
  Array.from({ length: count }, () => {
    const place = slots.take('m', now);
    return place === undefined ? undefined : `${place.worker}${place.slot}`;
  });

describe('slots promised ahead', () => {
  test('each is used once, and then a router is asked', () => {
    expect(takenOf(holding([{ worker: 'w', from: 5, to: 7 }]), 4)).toEqual(['w5', 'w6', 'w7', undefined]);
  });

  test('the answer stands for the next requests but for the wait of the first', () => {
    expect(holding([{ worker: 'v', from: 5, to: 7 }]).take('m', 0)).toEqual({
      ...placed(undefined),
      worker: 'v',
      slot: 5,
      queueMs: 0,
    });
  });

  test('the worker with the most to give is first', () => {
    const slots = holding([
      { worker: 'v', from: 1, to: 2 },
      { worker: 'w', from: 1, to: 4 },
    ]);
    expect(takenOf(slots, 7)).toEqual(['w1', 'w2', 'v1', 'w3', 'v2', 'w4', undefined]);
  });

  test('another name has no part in them', () => {
    expect(holding([{ worker: 'w', from: 5, to: 7 }]).take('other', 0)).toBeUndefined();
  });

  test('they are used until their time is over, and then go back', () => {
    const slots = holding([{ worker: 'w', from: 5, to: 7 }]);
    expect(takenOf(slots, 1, AHEAD_FOR_MS - 1)).toEqual(['w5']);
    expect(slots.expire(AHEAD_FOR_MS - 1)).toEqual([]);
    expect(takenOf(slots, 1, AHEAD_FOR_MS)).toEqual([undefined]);
    expect(slots.expire(AHEAD_FOR_MS)).toEqual([{ worker: 'w', pool: 'p', router: 'r', from: 6, to: 7 }]);
    expect(slots.expire(AHEAD_FOR_MS)).toEqual([]);
  });

  test('what is recalled goes back, the rest stays', () => {
    const slots = holding([{ worker: 'w', from: 5, to: 7 }]);
    expect(slots.recall('other', 'p')).toEqual([]);
    expect(slots.recall('r', 'other')).toEqual([]);
    expect(slots.recall('r', 'p')).toEqual([{ worker: 'w', pool: 'p', router: 'r', from: 5, to: 7 }]);
    expect(takenOf(slots, 1)).toEqual([undefined]);
  });

  test('a dead worker’s are forgotten, those of others stay', () => {
    const slots = holding([
      { worker: 'v', from: 1, to: 9 },
      { worker: 'w', from: 5, to: 5 },
    ]);
    slots.removeWorker('v');
    expect(takenOf(slots, 2)).toEqual(['w5', undefined]);
  });

  test('a dead router’s are forgotten: they are free at their workers', () => {
    const slots = holding([{ worker: 'w', from: 5, to: 7 }]);
    slots.removeRouter('r');
    expect(takenOf(slots, 1)).toEqual([undefined]);
    expect(slots.clear()).toEqual([]);
  });

  test('what a newer answer replaces goes back, and so does one for a name that is forgotten', () => {
    const slots = holding([{ worker: 'w', from: 5, to: 7 }]);
    const newer = placed([{ worker: 'w', from: 8, to: 9 }]);
    expect(slots.add('m', newer, 0)).toEqual([{ worker: 'w', pool: 'p', router: 'r', from: 5, to: 7 }]);
    expect(slots.add('unknown', newer, 0)).toEqual(aheadOf(newer));
    expect(slots.clear()).toEqual(aheadOf(newer));
  });

  test('an answer that promises nothing ahead changes nothing', () => {
    const slots = holding([{ worker: 'w', from: 5, to: 7 }]);
    expect(slots.add('m', placed(undefined), 0)).toEqual([]);
    expect(takenOf(slots, 1)).toEqual(['w5']);
    expect(aheadOf(placed(undefined))).toEqual([]);
  });
});

describe('how many are asked for', () => {
  const ask = (slots: SlotsAhead, now: number): number => {
    expect(slots.take('m', now)).toBeUndefined();
    return slots.wanted('m', now);
  };

  test('none for a name that is called now and then', () => {
    const slots = new SlotsAhead();
    for (let now = 0; now < 20 * AHEAD_FOR_MS; now += 2 * AHEAD_FOR_MS) expect(ask(slots, now)).toBe(0);
  });

  test('as many as there were requests of late, by one question at a time', () => {
    const slots = new SlotsAhead();
    for (let i = 0; i < 40; i++) slots.take('m', 0);
    expect(ask(slots, AHEAD_FOR_MS)).toBe(40);
    expect(ask(slots, AHEAD_FOR_MS + 1)).toBe(0);
    slots.add('m', placed([{ worker: 'w', from: 1, to: 1 }]), AHEAD_FOR_MS + 2);
    slots.take('m', AHEAD_FOR_MS + 2);
    expect(ask(slots, AHEAD_FOR_MS + 3)).toBe(40);
  });

  test('a question whose answer is lost does not stand in the way for long', () => {
    const slots = new SlotsAhead();
    slots.take('m', 0);
    expect(ask(slots, 0)).toBe(1);
    expect(ask(slots, AHEAD_FOR_MS - 1)).toBe(0);
    expect(ask(slots, AHEAD_FOR_MS)).toBe(3);
  });

  test('never more than 256, for 256 names; idle names make room', () => {
    const slots = new SlotsAhead();
    for (let i = 0; i < 10_000; i++) slots.take('m', 0);
    expect(slots.wanted('m', 0)).toBe(256);
    for (let i = 0; i < 300; i++) for (let twice = 0; twice < 2; twice++) slots.take(`name ${i}`, 0);
    expect(slots.wanted('name 254', 0)).toBe(1);
    expect(slots.wanted('name 255', 0)).toBe(0);
    slots.expire(2 * AHEAD_FOR_MS);
    for (let twice = 0; twice < 2; twice++) slots.take('name 255', 2 * AHEAD_FOR_MS);
    expect(slots.wanted('name 255', 2 * AHEAD_FOR_MS)).toBe(1);
  });
});
