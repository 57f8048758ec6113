import { expect, test } from 'vitest';
import type { Queued, Ticket } from './fair-lane.ts';
import { FairLane } from './fair-lane.ts';

const item = (tenant: string, weight = 1): Queued => ({ tenant, weight });
const EVERY = (): boolean => true;

test('beyond the bound, who left first is forgotten and comes back as new', () => {
  const lane = new FairLane<Queued>(1);
  const tickets = new Map<Queued, Ticket<Queued>>();
  const add = (one: Queued): void => void tickets.set(one, lane.add(one, ['d']));
  const serve = (): string | undefined => {
    const first = lane.first(EVERY);
    const ticket = first === undefined ? undefined : tickets.get(first);
    if (ticket !== undefined) lane.serve(ticket);
    return first?.tenant;
  };
  for (const tenant of ['x', 'y', 'z', 'z']) add(item(tenant));
  expect([serve(), serve()]).toEqual(['x', 'y']);
  // Both have had their turn; only `y` is remembered for it.
  add(item('y'));
  add(item('x'));
  expect([serve(), serve(), serve(), serve()]).toEqual(['z', 'x', 'z', 'y']);
});

test('a ticket that is gone changes nothing more', () => {
  const lane = new FairLane<Queued>(10);
  const ticket = lane.add(item('a'), ['d', 'e']);
  lane.add(item('b'), ['e']);
  lane.leave(ticket);
  lane.leave(ticket);
  lane.serve(ticket);
  expect([lane.waiting, lane.waitingFor('d'), lane.waitingFor('e'), lane.first(EVERY)?.tenant]).toEqual([1, 0, 1, 'b']);
});
