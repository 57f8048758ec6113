import { Registry } from 'prom-client';
import { beforeEach, describe, expect, test } from 'vitest';
import type { Bus } from '../../shared/bus.ts';
import { Catalog } from '../../shared/catalog.ts';
import type { Config } from '../../shared/config.ts';
import { parseConfig } from '../../shared/testing/config.ts';
import type { DeploymentReport } from '../../shared/messages/beat.ts';
import type { Envelope, Placed, Refused, Waiting } from '../../shared/messages/envelope.ts';
import { FrameType } from '../../shared/messages/frame.ts';
import { loadPriceTable } from '../../shared/pricing.ts';
import { inboxSubject } from '../../shared/subjects.ts';
import { seeded } from '../../shared/testing/seeded.ts';
import { AheadGrants } from './ahead.ts';
import { HealthTable } from './core/health-table.ts';
import { SlotTable } from './core/slot-table.ts';
import { Decider } from './decide.ts';
import { RouterMetrics } from './metrics.ts';
import { Queue } from './queue.ts';

/** Three providers of one worker each; `b` is in Europe, `c` can continue a text. */
const PROVIDERS = `
providers:
  a: { base_url: "http://a", models: { m: { context: 8000, capabilities: [tools] } } }
  b: { base_url: "http://b", region: eu, models: { m: { context: 100000, capabilities: [tools, vision] } } }
  c: { base_url: "http://c", region: eu, prefill: assistant, models: { m: {} } }
`;

const INBOX = inboxSubject('ing', 'rtr');

interface World {
  readonly decider: Decider;
  readonly slots: SlotTable;
  readonly health: HealthTable;
  readonly queue: Queue;
}

let now: number;
let said: Array<{ type: number; stream: number; message: unknown }>;
let forced: Record<string, 'drained' | 'disabled'>;
let world: World;
let stream: number;

beforeEach(() => {
  now = 1_000;
  said = [];
  forced = {};
  stream = 0;
});

function start(routes: string): World {
  const config: Config = parseConfig(`${PROVIDERS}${routes}`);
  const clock = { now: () => now, epochMs: () => now };
  const post = (_to: string, _reply: string, type: number, of: number, _sequence: number, json: string): void => {
    said.push({ type, stream: of, message: json === '' ? undefined : JSON.parse(json) });
  };
  const bus = { post } as unknown as Bus;
  const slots = new SlotTable();
  const health = new HealthTable('rtr', (deployment) => forced[deployment]);
  const metrics: RouterMetrics = new RouterMetrics(new Registry(), () => queue.lines);
  const ahead = new AheadGrants({ id: 'rtr', bus, clock, slots });
  const weights = config.queueWeights;
  const queue: Queue = new Queue({ id: 'rtr', bus, slots, health, ahead, metrics, weights });
  const catalog = new Catalog(config, loadPriceTable());
  const deps = { id: 'rtr', bus, clock, random: seeded(1), catalog, slots, health, queue, ahead, metrics };
  world = { decider: new Decider(deps), slots, health, queue };
  world.decider.sweep(now, true);
  return world;
}

/** So many slots of this provider's worker in all. */
function issue(pool: string, issued: number): void {
  world.slots.update({ pool, worker: `w-${pool}`, issued, outstanding: issued, capacity: 10 });
}

function report(...reports: Array<Partial<DeploymentReport> & { deployment: string }>): void {
  for (const each of reports) {
    world.health.update(`w-${each.deployment[0]}`, [{ inFlight: 0, breaker: 'closed', ...each }], now);
  }
}

function ask(fields: Partial<Envelope> = {}): number {
  const envelope: Envelope = {
    ...{ v: 1, id: 'req', principal: { keyId: 'k', keyName: 'k', team: null }, model: 'r', endpoint: 'chat' },
    ...{ stream: false, bodyBytes: 1, deadlineEpochMs: now + 60_000, tried: [], inputTokens: 10 },
    ...fields,
  };
  world.decider.ask(Buffer.from(JSON.stringify(envelope)), ++stream, INBOX);
  return stream;
}

/** The last that was said of this question. */
function answer(of = stream): Partial<Placed & Waiting & Refused> & { type: number } {
  const last = said.findLast((frame) => frame.stream === of);
  return { type: last?.type ?? 0, ...(last?.message as Placed & Waiting & Refused) };
}
const placedAt = (deployment: string, reason: string) => ({ type: FrameType.placed, deployment, reason });
const refusedFor = (code: string) => ({
  type: FrameType.refused,
  error: expect.objectContaining({ code }) as unknown,
});

describe('a route in order', () => {
  beforeEach(() => {
    start('routes: { r: { strategy: ordered, targets: [a/m, b/m], fallbacks: [c/m] } }');
    for (const pool of ['a', 'b', 'c']) issue(pool, 5);
  });

  test('the first that can serve', () => {
    ask();
    expect(answer()).toMatchObject(placedAt('a/m', 'ordered'));
    report({ deployment: 'a/m', breaker: 'open', probeInMs: 100 });
    ask();
    expect(answer()).toMatchObject(placedAt('b/m', 'ordered'));
    report({ deployment: 'b/m', throttledMs: 100 });
    ask();
    expect(answer()).toMatchObject(placedAt('c/m', 'fallback'));
    now += 100;
    ask();
    expect(answer()).toMatchObject(placedAt('a/m', 'ordered'));
  });

  test('what failed is not asked again; what an operator has drained, neither', () => {
    ask({ tried: [{ deployment: 'a/m', worker: 'w-a', code: 'upstream_failed' }] });
    expect(answer()).toMatchObject(placedAt('b/m', 'retry'));
    forced['b/m'] = 'drained';
    ask({ tried: [{ deployment: 'a/m', worker: 'w-a', code: 'upstream_failed' }] });
    expect(answer()).toMatchObject(placedAt('c/m', 'fallback'));
  });

  test('a half-open breaker gets one request, the others go elsewhere', () => {
    report({ deployment: 'a/m', breaker: 'half_open', probeInMs: 0 });
    ask();
    ask();
    expect([answer(1).deployment, answer(2).deployment]).toEqual(['a/m', 'b/m']);
  });

  test('all are open: the one that would be tried next is tried now', () => {
    report(
      { deployment: 'a/m', breaker: 'open', probeInMs: 900 },
      { deployment: 'b/m', breaker: 'open', probeInMs: 300 },
      { deployment: 'c/m', checkFailed: 'no answer' },
    );
    ask();
    expect(answer()).toMatchObject(placedAt('b/m', 'least_bad'));
  });

  test('all have failed: the last failure is the answer', () => {
    ask({ tried: ['a', 'b', 'c'].map((id) => ({ deployment: `${id}/m`, worker: 'w', code: 'upstream_failed' })) });
    expect(answer()).toMatchObject({ ...refusedFor('no_deployment'), isExhausted: true });
  });

  test.each([
    { fields: { needs: ['vision'] }, served: 'b/m' },
    { fields: { inputTokens: 50_000 }, served: 'b/m' },
    { fields: { inputTokens: 1_000_000 }, served: 'c/m' },
    { fields: { continues: true }, served: 'c/m' },
    { fields: { overrides: { regions: ['eu'] } }, served: 'b/m' },
    { fields: { overrides: { fallbacks: [] }, inputTokens: 1_000_000 }, served: undefined },
    { fields: { overrides: { regions: ['moon'] } }, served: undefined },
  ] satisfies Array<{ fields: Partial<Envelope>; served: string | undefined }>)(
    '$fields: $served',
    ({ fields, served }) => {
      ask(fields);
      if (served === undefined) expect(answer()).toMatchObject(refusedFor('no_capable_deployment'));
      else expect(answer()).toMatchObject({ type: FrameType.placed, deployment: served });
    },
  );

  test('"too long" goes to one that takes more', () => {
    ask({ tried: [{ deployment: 'a/m', worker: 'w-a', code: 'context_length_exceeded' }] });
    expect(answer()).toMatchObject(placedAt('b/m', 'retry'));
    ask({ tried: ['a/m', 'b/m'].map((id) => ({ deployment: id, worker: 'w', code: 'context_length_exceeded' })) });
    expect(answer()).toMatchObject(placedAt('c/m', 'fallback'));
  });

  test('a hedge goes to another', () => {
    ask({ tried: [{ deployment: 'a/m', worker: 'w-a', code: 'hedged' }] });
    expect(answer()).toMatchObject(placedAt('b/m', 'hedge'));
    forced['b/m'] = forced['c/m'] = 'drained';
    ask({ tried: [{ deployment: 'a/m', worker: 'w-a', code: 'hedged' }] });
    expect(answer()).toMatchObject(refusedFor('no_deployment'));
  });

  test('who said "later" is asked again once nobody else is left', () => {
    const later = (id: string) => ({ deployment: `${id}/m`, worker: `w-${id}`, code: 'upstream_throttled' });
    ask({ tried: [later('a')] });
    expect(answer()).toMatchObject(placedAt('b/m', 'retry'));
    ask({ tried: [later('a'), later('b'), { ...later('c'), code: 'upstream_failed' }] });
    expect(answer()).toMatchObject(placedAt('a/m', 'retry'));
  });

  test('a 429 that the request met is known here before the worker’s beat', () => {
    ask({ tried: [{ deployment: 'a/m', worker: 'w-a', code: 'upstream_throttled', retryAfterMs: 500 }] });
    expect(answer()).toMatchObject(placedAt('b/m', 'retry'));
    ask();
    expect(answer()).toMatchObject(placedAt('b/m', 'ordered'));
  });
});

describe('at a limit', () => {
  const busy = (onLimit: string): void => {
    start(`routes: { r: { targets: [a/m]${onLimit} }, cheap: { targets: [b/m] } }`);
    issue('a', 0);
    issue('b', 5);
  };

  test('reject: 429 at once', () => {
    busy(', on_limit: reject');
    ask();
    expect(answer()).toMatchObject(refusedFor('route_at_capacity'));
  });

  test('downgrade: another route serves it, and is named', () => {
    busy(', on_limit: { downgrade: cheap }');
    ask();
    expect(answer()).toMatchObject({ ...placedAt('b/m', 'downgrade'), downgradedTo: 'cheap', route: 'cheap' });
  });

  test('downgrade: a request that may not leave its region does not', () => {
    start(
      'routes: { r: { targets: [c/m], regions: [eu], on_limit: { downgrade: cheap } }, cheap: { targets: [a/m] } }',
    );
    issue('c', 0);
    issue('a', 5);
    ask();
    expect(answer()).toMatchObject(refusedFor('no_capable_deployment'));
  });

  test('queue: it waits for a slot, and is placed with the first', () => {
    busy('');
    ask();
    expect(answer()).toMatchObject({ type: FrameType.waiting, position: 0 });
    now += 40;
    issue('a', 1);
    world.decider.serveLine('a');
    expect(answer()).toMatchObject({ ...placedAt('a/m', 'only'), queueMs: 40 });
  });

  test('queue for a time: then it is refused, or downgraded', () => {
    busy(', on_limit: { queue: 2s }');
    ask();
    world.decider.sweep((now += 1_999), true);
    expect(answer().type).toBe(FrameType.waiting);
    world.decider.sweep((now += 1), true);
    expect(answer()).toMatchObject(refusedFor('route_at_capacity'));

    busy(', on_limit: { queue: 2s, then: { downgrade: cheap } }');
    ask();
    world.decider.sweep((now += 2_000), true);
    expect(answer()).toMatchObject(placedAt('b/m', 'downgrade'));
  });

  test('queue for a time: what it waited before earlier attempts counts', () => {
    busy(', on_limit: { queue: 2s }');
    ask({ queuedMs: 1_500 });
    world.decider.sweep((now += 499), true);
    expect(answer().type).toBe(FrameType.waiting);
    world.decider.sweep((now += 1), true);
    expect(answer()).toMatchObject(refusedFor('route_at_capacity'));
  });

  test('queue: its own deadline is its own', () => {
    busy(', on_limit: { queue: 20s }');
    ask({ deadlineEpochMs: now + 500 });
    world.decider.sweep((now += 500), true);
    expect(answer()).toMatchObject(refusedFor('deadline_exceeded'));
  });

  test('a provider’s "later" is waited for when that is soon enough, without asking workers for slots', () => {
    busy(', on_limit: { queue: 5s }');
    issue('a', 5);
    report({ deployment: 'a/m', throttledMs: 3_000 });
    ask();
    expect(answer().type).toBe(FrameType.waiting);
    expect(world.queue.wanting('a', now)).toBe(0);
    world.decider.sweep((now += 2_999), true);
    expect(answer().type).toBe(FrameType.waiting);
    world.decider.sweep((now += 1), true);
    expect(answer()).toMatchObject(placedAt('a/m', 'only'));
  });

  test('a wait that cannot end in time is refused at once, with when to come back', () => {
    busy(', on_limit: { queue: 5s }');
    issue('a', 5);
    report({ deployment: 'a/m', throttledMs: 30_000 });
    ask();
    expect(answer()).toMatchObject({ error: { code: 'route_at_capacity', retryAfterMs: 30_000 } });
    ask({ tried: [{ deployment: 'a/m', worker: 'w-a', code: 'upstream_throttled' }] });
    expect(answer()).toMatchObject({ isExhausted: true });
  });

  test('who waits for a limited deployment does not stand before those of its neighbour in the pool', () => {
    start('routes: { r: { targets: [a/m] }, s: { targets: [a/n] } }'.replace('a/n', 'b/m'));
    issue('a', 5);
    issue('b', 5);
    report({ deployment: 'a/m', throttledMs: 3_000 });
    ask();
    ask({ model: 's' });
    expect([answer(1).type, answer(2).type]).toEqual([FrameType.waiting, FrameType.placed]);
  });
});

describe('a split route', () => {
  test('names the variant, and serves a user with the same one always', () => {
    start('routes: { r: { variants: { x: { weight: 1, targets: [a/m] }, y: { weight: 1, targets: [b/m] } } } }');
    issue('a', 50);
    issue('b', 50);
    const seen = new Map<string, Set<string>>();
    for (let round = 0; round < 2; round++) {
      for (const affinity of ['1', '2', '3', '4', '5', '6', '7', '8']) {
        ask({ affinity });
        const { deployment = '', variant = '' } = answer();
        expect(deployment).toBe(variant === 'x' ? 'a/m' : 'b/m');
        seen.set(affinity, (seen.get(affinity) ?? new Set()).add(variant));
      }
    }
    expect([...seen.values()].every(({ size }) => size === 1)).toBe(true);
    expect(new Set([...seen.values()].flatMap((variants) => [...variants])).size).toBe(2);
  });
});

test('a hedge is offered after the p95 of the deployment, or after what the route says', () => {
  start(
    'routes: { r: { targets: [a/m, b/m], strategy: ordered, hedge: { after: p95 } }, s: { targets: [a/m], hedge: { after: 2s } } }',
  );
  issue('a', 5);
  ask();
  expect(answer().hedgeAfterMs).toBeUndefined();
  report({ deployment: 'a/m', p95Ms: 700 });
  ask();
  expect(answer().hedgeAfterMs).toBe(700);
  ask({ model: 's' });
  expect(answer().hedgeAfterMs).toBe(2_000);
});

test('complexity: the hard ones go where they are solved', () => {
  start(
    'routes: { r: { strategy: complexity, targets: [{ model: a/m, tier: simple }, { model: b/m, tier: complex }], complexity: { teams: { lab: complex } } } }',
  );
  issue('a', 5);
  issue('b', 5);
  const sketch = {
    lastUser: 'What is the capital of France?',
    systemChars: 0,
    totalChars: 30,
    turns: 1,
    tools: 0,
    wantsSchema: false,
  };
  ask({ sketch });
  expect(answer()).toMatchObject(placedAt('a/m', 'complexity'));
  ask({ sketch, principal: { keyId: 'k', keyName: 'k', team: 'lab' } });
  expect(answer()).toMatchObject(placedAt('b/m', 'complexity'));
});

test('a named router’s routes and rules go first', () => {
  start(
    'routes: { r: { targets: [a/m] } }\nrouters: { paid: { routes: { r: { targets: [b/m] } } }, european: { regions: [eu] } }',
  );
  for (const pool of ['a', 'b', 'c']) issue(pool, 5);
  ask({ via: 'paid' });
  expect(answer()).toMatchObject(placedAt('b/m', 'only'));
  ask({ via: 'european' });
  expect(answer()).toMatchObject(refusedFor('no_capable_deployment'));
  ask({ via: 'european', model: 'm' });
  expect(answer().deployment).toMatch(/^[bc]\/m$/);
});
