import { afterAll, beforeAll, expect, test } from 'vitest';
import { Bus } from '../../../shared/bus.ts';
import { createLog } from '../../../shared/log.ts';
import { LeaseAsk, LeaseReport } from '../../../shared/messages/lease.ts';
import { LEDGERS, ledgerSubject } from '../../../shared/subjects.ts';
import { freshNats } from '../../../test/support/fresh.ts';
import type { TestNats } from '../../../test/support/servers.ts';
import { BusLeases } from './ledger-leases.ts';

const log = createLog('silent', 'test');
let nats: TestNats;
let buses: Bus[];

beforeAll(async () => {
  nats = await freshNats();
  buses = await Promise.all(['a', 'b', 'c'].map((name) => Bus.connect({ url: nats.url, name, log })));
});

afterAll(async () => {
  await Promise.all(buses.map((bus) => bus.close()));
  await nats.stop();
});

const [bus, otherBus, ledgerBus] = [0, 1, 2].map((at) => () => buses[at] as Bus) as [() => Bus, () => Bus, () => Bus];

test('a ledger is asked and told, by this ingress', async () => {
  const heard: unknown[] = [];
  const listening = [
    ledgerBus().onRequest(ledgerSubject('lease'), LEDGERS, LeaseAsk, (ask) => {
      heard.push(ask);
      return Promise.resolve({ v: 1, grants: [] });
    }),
    ledgerBus().onRequest(ledgerSubject('leases'), LEDGERS, LeaseReport, (report) => {
      heard.push(report);
      return Promise.resolve({ v: 1, lost: ['l'], ttlMs: 7 });
    }),
  ];
  await ledgerBus().flush();
  const leases = new BusLeases(bus(), 'ing-a');
  const item = { budget: 'b', subject: 'total', need: 1, want: 2 };
  expect(await leases.ask([item])).toEqual({ v: 1, grants: [] });
  expect(await leases.report([{ lease: 'l', keep: 3, isClosed: false }])).toEqual({ v: 1, lost: ['l'], ttlMs: 7 });
  expect(heard).toEqual([
    { v: 1, ingress: 'ing-a', items: [item] },
    { v: 1, ingress: 'ing-a', leases: [{ lease: 'l', keep: 3, isClosed: false }] },
  ]);
  for (const each of listening) each.unsubscribe();
  await ledgerBus().flush();
});

test('nobody who could grant anything is told at once', async () => {
  await expect(new BusLeases(bus(), 'ing-a').ask([])).rejects.toMatchObject({ code: 'broker_unavailable' });
});

test('a recall waits until every holder has given back, and no longer; its own is not one', async () => {
  const order: string[] = [];
  const listening = [
    new BusLeases(bus(), 'ing-a').onRecall(() => Promise.reject(new Error('asked by itself'))),
    new BusLeases(otherBus(), 'ing-b').onRecall(async (budget, subject) => {
      await new Promise((resolve) => setTimeout(resolve, 20));
      order.push(`${budget} ${subject} given back`);
    }),
  ];
  await otherBus().flush();
  await new BusLeases(bus(), 'ing-a').recall('b', 'user:ada', ['ing-a', 'ing-b']);
  expect(order.concat('recalled')).toEqual(['b user:ada given back', 'recalled']);
  for (const each of listening) each.unsubscribe();
});

test('a holder that is gone is not waited for longer than a recall takes', async () => {
  await new BusLeases(bus(), 'ing-a').recall('b', 'total', ['ing-dead']);
  await new BusLeases(bus(), 'ing-a').recall('b', 'total', []);
});
