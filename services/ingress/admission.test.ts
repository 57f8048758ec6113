import { beforeEach, describe, expect, test } from 'vitest';
import { Catalog } from '../../shared/catalog.ts';
import { parseOpenAiRequest } from '../../shared/dialects/openai.ts';
import { GatewayError } from '../../shared/errors.ts';
import { createLog } from '../../shared/log.ts';
import type { OnBudgetEnd } from '../../shared/messages/rules.ts';
import { loadPriceTable } from '../../shared/pricing.ts';
import { testConfig } from '../../test/support/gateway.ts';
import type { AdmissionDeps, Terms } from './admission.ts';
import { Admission } from './admission.ts';
import { admit } from './admit.ts';
import { LeaseBook } from './budgets/lease-book.ts';
import type { ActualUse } from './core/limit-terms.ts';
import { limitOf } from './core/limit-terms.ts';
import type { ApplicableBudget, ScopeRuling } from './core/scope-ruling.ts';
import { LedgerModel } from './testing/ledger-model.ts';

// A dollar for a million tokens of output, nothing for input: ten output tokens cost 10,000 nano-dollars.
const config = testConfig(`
providers:
  p:
    base_url: "http://p/v1"
    models:
      dear: { price: { input: 0 USD, output: 1 USD } }
      cheap: { price: { input: 0 USD, output: 0.1 USD } }
      unknown: {}
routes:
  saver: { targets: [p/cheap] }
  mixed: { targets: [p/dear, p/unknown] }
  nameless: { targets: [p/unknown] }
  falls: { targets: [p/cheap], fallbacks: [p/dear] }
  steps-down: { targets: [p/cheap], on_limit: { downgrade: falls } }`);
const catalog = new Catalog(config, loadPriceTable());
const principal = { keyId: 'k', keyName: 'k', team: 'search', user: 'ada' };
const never = (): boolean => false;
const noLimits: AdmissionDeps['limits'] = {
  take: () => ({ headers: {}, over: () => undefined, giveBack: () => undefined }),
};

let now = 0;
const clock = { now: () => now, epochMs: () => 1_790_000_000_000 + now };
let model: LedgerModel;
let book: LeaseBook;
let asked: (readonly string[])[];
let unchecked = 0;

beforeEach(() => {
  now = 0;
  unchecked = 0;
  asked = [];
  model = new LedgerModel();
  book = new LeaseBook({ ledger: model.door('i'), clock, log: createLog('silent', 'test') });
  model.ingresses.set('i', (budget, subject) => book.giveBack(budget, subject));
});

const item = (
  id: string,
  subject: string,
  onLimit: OnBudgetEnd = { kind: 'reject' },
  isHard = true,
): ApplicableBudget => ({
  terms: { id, name: `${id} money`, scope: subject, isHard, onLimit },
  subject,
});

function admission(
  ruleOf: (scopes: readonly string[]) => Partial<ScopeRuling>,
  fields: Partial<AdmissionDeps> = {},
): Admission {
  const rules = {
    rulesOf: (scopes: readonly string[]) => {
      asked.push(scopes);
      return { limits: [], budgets: [], ...ruleOf(scopes) };
    },
  };
  const deps = { catalog, clock, book, rules, limits: noLimits, isLedgerAway: never, onUnchecked: () => unchecked++ };
  return new Admission({ ...deps, ...fields });
}

function request(name: string, fields = '"max_tokens":10'): ReturnType<typeof admit> {
  const body = `{"model":"${name}","messages":[{"role":"user","content":"?"}],${fields}}`;
  return admit(
    parseOpenAiRequest('chat', Buffer.from(body)),
    { caller: { principal, policy: {} }, headers: {} },
    {
      ...{ catalog, clock, requestTimeoutMs: 60_000 },
    },
  );
}

const refused = async (terms: () => Terms | Promise<Terms>): Promise<GatewayError> => {
  try {
    await terms();
  } catch (failure) {
    if (failure instanceof GatewayError) return failure;
    throw failure;
  }
  throw new Error('it was admitted');
};

describe('a request', () => {
  test('that nothing holds for is served at once, and nothing is said of it', () => {
    const terms = admission(() => ({})).admit(request('p/dear'), never);
    expect(terms).toMatchObject({ account: undefined, cover: undefined, headers: {} });
  });

  test.each([
    { name: 'p/dear', scopes: ['model:p/dear'] },
    { name: 'dear', scopes: ['model:p/dear'] },
    { name: 'saver', scopes: ['model:p/cheap', 'route:saver'] },
    { name: 'falls', scopes: ['model:falls', 'route:falls'] },
    { name: 'nobody-knows', scopes: ['model:nobody-knows'] },
  ])('of $name falls in the scopes of its key, and $scopes', ({ name, scopes }) => {
    void admission(() => ({})).admit(request(name), never);
    expect(asked).toEqual([['total', 'team:search', 'user:ada', 'key:k', ...scopes]]);
  });

  test('of a scope that is switched off is told why', async () => {
    const blocked = { scope: 'team:search', reason: 'on holiday' };
    const failure = await refused(() => admission(() => ({ blocked })).admit(request('p/dear'), never));
    expect(failure).toMatchObject({ code: 'scope_blocked', message: expect.stringContaining('on holiday') as string });
  });

  test('that nobody knows is left to a router, whatever budgets there are', () => {
    const budgets = [item('b', 'total')];
    expect(admission(() => ({ budgets })).admit(request('nobody-knows'), never)).toMatchObject({ cover: undefined });
  });
});

describe('a hard budget', () => {
  const admitted = (name: string, budgets: readonly ApplicableBudget[], fields?: string): Terms | Promise<Terms> =>
    admission(() => ({ budgets })).admit(request(name, fields), never);

  test.each([
    { name: 'p/dear', costs: 10_000 },
    { name: 'saver', costs: 1_000 },
    { name: 'falls', costs: 10_000 },
    { name: 'steps-down', costs: 10_000 },
    { name: 'mixed', costs: 10_000 },
  ])('pays for the dearest that may serve $name', async ({ name, costs }) => {
    model.budget('b', 'total', 1_000_000);
    const { cover, account } = await admitted(name, [item('b', 'total')]);
    expect(cover?.next()?.quote.nanoUsd).toBe(costs);
    expect(account).toMatchObject({ admittedEpochMs: clock.epochMs() });
  });

  test('pays for every answer that is asked for, and for as many tokens as there may be', async () => {
    model.budget('b', 'total', 100_000_000);
    const three = await admitted('p/dear', [item('b', 'total')], '"max_tokens":10,"n":3');
    expect(three.cover?.next()?.quote.nanoUsd).toBe(30_000);
    const unsaid = await admitted('p/dear', [item('b', 'total')], '"n":1');
    expect(unsaid.cover?.next()?.quote.nanoUsd).toBe(4_096_000);
    const failure = await refused(() => admitted('p/dear', [item('b', 'total')], '"n":"3"'));
    expect(failure).toMatchObject({ code: 'invalid_request', param: 'n' });
  });

  test('is told where the request says how much output it wants, and refuses one that says it twice', async () => {
    model.budget('b', 'total', 100_000_000);
    const { outputLimitsAt, request } = await admitted('p/dear', [item('b', 'total')], '"max_tokens":10');
    const [start = 0, end = 0] = outputLimitsAt?.max_tokens ?? [];
    expect(request.body.toString('utf8', start, end)).toBe('10');
    const failure = await refused(() => admitted('p/dear', [item('b', 'total')], '"max_tokens":10,"max_tokens":9999'));
    expect(failure).toMatchObject({ code: 'invalid_request', param: 'max_tokens' });
  });

  test('that is used up is named, with whose it is, how it stands and when it renews', async () => {
    const budget = model.budget('b', 'team:search', 12_000);
    budget.spent = 8_000;
    const door = model.door('i');
    const renewing: typeof door.ask = async (items) => {
      const { refused: by, ...answer } = await door.ask(items);
      return { ...answer, ...(by && { refused: { ...by, renewsEpochMs: clock.epochMs() + 90_000 } }) };
    };
    book = new LeaseBook({ ledger: { ...door, ask: renewing }, clock, log: createLog('silent', 'test') });
    const failure = await refused(() => admitted('p/dear', [item('b', 'team:search')]));
    expect(failure).toMatchObject({ code: 'budget_exceeded', retryAfterMs: 90_000 });
    expect(failure.message).toBe(
      'The budget "b" of team:search has too little left for this request, which may cost up to $0.00001: $0.000008 of $0.000012 are spent or reserved. It renews at 2026-09-21T14:14:50.000Z.',
    );
  });

  test('pays for nobody without a price', async () => {
    model.budget('b', 'total', 1_000_000);
    expect(await refused(() => admitted('nameless', [item('b', 'total')]))).toMatchObject({ code: 'price_unknown' });
    const { request: mixed } = await admitted('mixed', [item('b', 'total')]);
    expect(mixed).toMatchObject({ mustBePriced: true, nameKey: undefined });
    const { request: priced } = await admitted('p/dear', [item('b', 'total')]);
    expect(priced).toMatchObject({ mustBePriced: false, nameKey: 'p/dear' });
  });

  test('says by which route its requests are served once it is used up, and pays for those no more', async () => {
    model.budget('b', 'model:p/dear', 0);
    model.budget('c', 'total', 1_000_000);
    const onLimit: OnBudgetEnd = { kind: 'downgrade', to: 'saver' };
    const gate = admission((scopes) => ({
      budgets: [item('c', 'total'), ...(scopes.includes('model:p/dear') ? [item('b', 'model:p/dear', onLimit)] : [])],
    }));
    const { request: served, cover } = await gate.admit(request('p/dear'), never);
    expect(served).toMatchObject({ model: 'p/dear', servedAs: 'saver', nameKey: 'saver' });
    expect(cover?.next()?.quote.nanoUsd).toBe(1_000);
    expect(asked.at(-1)).toContain('route:saver');
  });

  test('downgrades once', async () => {
    model.budget('b', 'total', 0);
    const onLimit: OnBudgetEnd = { kind: 'downgrade', to: 'saver' };
    const failure = await refused(() => admitted('p/dear', [item('b', 'total', onLimit)]));
    expect(failure.code).toBe('budget_exceeded');
    expect(asked).toHaveLength(2);
  });

  test('that says so lets a request wait until there is money, or its patience ends', async () => {
    const budget = model.budget('b', 'total', 0);
    const patient = admitted('p/dear', [item('b', 'total', { kind: 'queue', forMs: 30_000 })]);
    const raised = setTimeout(() => {
      budget.limit = 100_000;
      now += 1_000;
    }, 500);
    expect((await patient).cover).toBeDefined();
    clearTimeout(raised);
    model.budget('x', 'total', 0);
    const failure = await refused(() => admitted('p/dear', [item('x', 'total', { kind: 'queue', forMs: 0 })]));
    expect(failure.code).toBe('budget_exceeded');
  });

  test('that is soft pays for everything, and is counted while no ledger can tell', async () => {
    const budgets = [item('b', 'total', { kind: 'reject' }, false)];
    const gate = admission(() => ({ budgets }), { isLedgerAway: () => true });
    expect(await gate.admit(request('p/unknown'), never)).toMatchObject({ cover: undefined, account: {} });
    expect([unchecked, model.asks]).toEqual([1, 0]);
  });
});

describe('a soft budget that is spent', () => {
  const cheaper: OnBudgetEnd = { kind: 'downgrade', to: 'saver' };
  const spent = (onLimit: OnBudgetEnd, untilEpochMs = Infinity): Pick<ScopeRuling, 'budgets' | 'over'> => {
    const budget = item('s', 'total', onLimit, false);
    return { budgets: [budget], over: [{ item: budget, untilEpochMs }] };
  };

  test('has another route serve, at once and once, which is what hard budgets then pay for', async () => {
    model.budget('h', 'route:saver', 1_000);
    const { budgets, over } = spent(cheaper);
    const gate = admission((scopes) => ({
      budgets: [...budgets, ...(scopes.includes('route:saver') ? [item('h', 'route:saver')] : [])],
      over: over ?? [],
    }));
    const { request: served, cover } = await gate.admit(request('p/dear'), never);
    expect(served).toMatchObject({ model: 'p/dear', servedAs: 'saver', nameKey: 'saver' });
    expect(cover?.next()?.quote.nanoUsd).toBe(1_000);
    expect(asked).toHaveLength(2);
  });

  test.each<{ name: string; onLimit: OnBudgetEnd; why: string }>([
    { name: 'p/dear', onLimit: { kind: 'downgrade', to: 'gone' }, why: 'the other route is not there' },
    { name: 'saver', onLimit: cheaper, why: 'that is the route it asked for' },
    { name: 'nobody-knows', onLimit: cheaper, why: 'a router says that there is no such name' },
    { name: 'p/dear', onLimit: { kind: 'queue' }, why: 'its window never turns' },
    { name: 'p/dear', onLimit: { kind: 'queue', forMs: 60_000 }, why: 'it would wait beyond its deadline' },
  ])('lets $name be served as it was asked for ($onLimit: $why)', ({ name, onLimit }) => {
    const terms = admission(() => spent(onLimit)).admit(request(name), never);
    expect(terms).not.toBeInstanceOf(Promise);
    expect(terms).toMatchObject({ request: { model: name, servedAs: undefined }, cover: undefined });
  });

  test('is nothing to whom is switched off', async () => {
    const blocked = { scope: 'total', reason: 'r' };
    const gate = admission(() => ({ ...spent({ kind: 'queue', forMs: 30_000 }), blocked }));
    expect(await refused(() => gate.admit(request('p/dear'), never))).toMatchObject({ code: 'scope_blocked' });
  });

  test('makes a request wait where it says so, and serves it then all the same', async () => {
    const gate = admission(() => spent({ kind: 'queue', forMs: 30_000 }));
    const waiting = gate.admit(request('p/dear'), never);
    expect(waiting).toBeInstanceOf(Promise);
    now += 30_000;
    expect((await waiting).request).toMatchObject({ servedAs: undefined });
  });

  test('lets it go on as soon as it has room again', async () => {
    let ruling: Partial<ScopeRuling> = spent({ kind: 'queue', forMs: 30_000 });
    const waiting = admission(() => ruling).admit(request('p/dear'), never);
    ruling = { budgets: ruling.budgets ?? [] };
    expect((await waiting).cover).toBeUndefined();
  });

  test('keeps nobody whose client has left', async () => {
    const failure = await refused(() =>
      admission(() => spent({ kind: 'queue', forMs: 30_000 })).admit(request('p/dear'), () => true),
    );
    expect(failure.code).toBe('client_closed_request');
  });

  test('keeps only so many waiting; the next is served at once', async () => {
    const gate = admission(() => spent({ kind: 'queue', forMs: 200 }));
    const waiting = Array.from({ length: 1_000 }, () => Promise.resolve(gate.admit(request('p/dear'), never)));
    const next = Promise.resolve(gate.admit(request('p/dear'), never)).then(() => 'next');
    expect(await Promise.race([next, ...waiting])).toBe('next');
    now += 200;
    await Promise.all(waiting);
  });
});

describe('what a request took of its limits', () => {
  const limit = limitOf('total', 'total', { requestsPerMinute: 1 });
  const calls: unknown[] = [];
  const limits: AdmissionDeps['limits'] = {
    take: (ask) => {
      calls.push(ask);
      const over = (used: ActualUse): unknown => calls.push(used);
      return Promise.resolve({
        headers: { 'x-ratelimit-limit-requests': '1' },
        over,
        giveBack: () => calls.push('back'),
      });
    },
  };
  beforeEach(() => void calls.splice(0));

  test('is told what it used in the end', async () => {
    const gate = admission(() => ({ limits: [limit] }), { limits });
    const terms = await gate.admit(request('p/dear'), never);
    expect(terms.headers).toEqual({ 'x-ratelimit-limit-requests': '1' });
    terms.over({ tokens: 5, costNanoUsd: 7 });
    expect(calls).toEqual([expect.objectContaining({ costNanoUsd: 10_000 }), { tokens: 5, costNanoUsd: 7 }]);
  });

  test('goes back when a budget refuses it', async () => {
    model.budget('b', 'total', 0);
    const gate = admission(() => ({ limits: [limit], budgets: [item('b', 'total')] }), { limits });
    await refused(() => gate.admit(request('p/dear'), never));
    expect(calls).toEqual([expect.anything(), 'back']);
  });
});

test('what was reserved for a request that never began is free again', async () => {
  model.budget('b', 'total', 10_000);
  const gate = admission(() => ({ budgets: [item('b', 'total')] }));
  (await gate.admit(request('p/dear'), never)).over({ tokens: 0, costNanoUsd: 0 });
  expect((await gate.admit(request('p/dear'), never)).cover).toBeDefined();
});
