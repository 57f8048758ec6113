import { Registry } from 'prom-client';
import { afterAll, afterEach, beforeAll, expect, test } from 'vitest';
import { startWorkers } from '../../services/workers/main.ts';
import { Bus } from '../../shared/bus.ts';
import { Catalog } from '../../shared/catalog.ts';
import { systemClock } from '../../shared/clock.ts';
import { createLog } from '../../shared/log.ts';
import type { ForcedState } from '../../shared/messages/control.ts';
import { loadPriceTable } from '../../shared/pricing.ts';
import { startJourney } from '../support/journey.ts';
import type { Journey } from '../support/journey.ts';
import { readStream } from '../support/sse.ts';

/** What an operator says, in place of the bucket that it is kept in. */
const forced = new Map<string, ForcedState['state']>();
const listeners: Array<(deployment: string) => void> = [];
const force = (deployment: string, state: ForcedState['state']): void => {
  forced.set(deployment, state);
  for (const listener of listeners) listener(deployment);
};

let journey: Journey;
let buses: Bus[];

beforeAll(async () => {
  journey = await startJourney({
    providers: { slow: 'ttft=300&itl=20&n=200', good: '' },
    routes: { 'slow-or-good': { strategy: 'ordered', targets: ['slow/m'], fallbacks: ['good/m'] } },
  });
  const { config, nats, services } = journey.gateway;
  const log = createLog('error', 'test');
  buses = await Promise.all(['a', 'b'].map((name) => Bus.connect({ url: nats.url, name, log })));
  const [bus, journalBus] = buses as [Bus, Bus];
  const workers = startWorkers({
    ...{ bus, journalBus, clock: systemClock, log, registry: new Registry() },
    ...{ providers: config.providers, catalog: new Catalog(config, loadPriceTable()) },
    forced: { stateOf: (deployment) => forced.get(deployment), onChange: (listener) => listeners.push(listener) },
  });
  while (workers.notReady() !== null) await new Promise((resolve) => setTimeout(resolve, 50));
  // The one that obeys nobody goes.
  await services.worker.stop(0);
  const stop = (limitMs?: number): Promise<void> => workers.stop(limitMs);
  services.worker = { role: 'worker', id: workers.id, notReady: () => Promise.resolve(null), stop };
});

afterEach(() => forced.clear());

afterAll(async () => {
  await journey.stop();
  await Promise.all(buses.map((bus) => bus.close()));
});

test.each(['drained', 'disabled'] as const)('what is %s takes nothing new', async (state) => {
  force('slow/m', state);
  const before = journey.counted('slow').requests;
  const response = await journey.chat('slow-or-good', { stream: true });
  expect(response.headers.get('x-sluice-deployment')).toBe('good/m');
  await response.text();
  expect(journey.counted('slow').requests).toBe(before);
});

test('what is disabled ends at once: before its first token it goes elsewhere', async () => {
  const before = journey.counted('slow').requests;
  const asked = journey.chat('slow-or-good', { stream: true });
  await journey.provider.waitFor(({ active }) => active === 1);
  force('slow/m', 'disabled');
  const response = await asked;
  expect(response.headers.get('x-sluice-deployment')).toBe('good/m');
  expect(journey.counted('slow').requests).toBe(before + 1);
  expect((await readStream(response)).isDone).toBe(true);
});

test('after its first token the client is told', async () => {
  const response = await journey.chat('slow-or-good', { stream: true });
  expect(response.headers.get('x-sluice-deployment')).toBe('slow/m');
  force('slow/m', 'disabled');
  const { errors, isDone } = await readStream(response);
  expect({ codes: errors.map(({ code }) => code), isDone }).toEqual({ codes: ['deployment_disabled'], isDone: false });
});

test('what is drained lets run what runs', async () => {
  const response = await journey.chat('slow-or-good', { stream: true, max_tokens: 10 });
  force('slow/m', 'drained');
  expect((await readStream(response)).isDone).toBe(true);
});
