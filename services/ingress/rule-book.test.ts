import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { Bus } from '../../shared/bus.ts';
import type { Subscription } from '../../shared/bus.ts';
import { createLog } from '../../shared/log.ts';
import type { BudgetTerms, ScopeRules } from '../../shared/messages/rules.ts';
import { RulesQuery } from '../../shared/messages/rules.ts';
import { ledgerSubject, LEDGERS } from '../../shared/subjects.ts';
import { freshNats } from '../../test/support/fresh.ts';
import type { TestNats } from '../../test/support/servers.ts';
import type { ScopeRuling } from './core/scope-ruling.ts';
import { limitOf } from './core/limit-terms.ts';
import type { RulingSlot } from './core/ruling-memory.ts';
import { RuleBook } from './rule-book.ts';

const MINUTE = 60_000;
const log = createLog('silent', 'test');
let nats: TestNats;
let ingressBus: Bus;
let ledgerBus: Bus;
let ledger: Subscription | undefined;
/** What the ledger is asked for, a list for each question. */
let slots: Map<string, RulingSlot>;
let asked: string[][] = [];
let kinds: string[] = [];
let rules: Record<string, ScopeRules> = {};
let standings: string[] = [];
/** Answers wait for this. */
let gate: Promise<void> = Promise.resolve();
let now = 0;
let book: RuleBook;

beforeAll(async () => {
  nats = await freshNats();
  ingressBus = await Bus.connect({ url: nats.url, name: 'ingress', log });
  ledgerBus = await Bus.connect({ url: nats.url, name: 'ledger', log });
});

afterAll(async () => {
  await Promise.all([ingressBus.close(), ledgerBus.close()]);
  await nats.stop();
});

const come = async (): Promise<void> => {
  ledger = ledgerBus.onRequest(ledgerSubject('rules'), LEDGERS, RulesQuery, async ({ scopes }) => {
    asked.push(scopes.toSorted());
    const answer = {
      ...{ v: 1, revision: 1, kinds: [...kinds], standings: [...standings] },
      rules: Object.fromEntries(scopes.flatMap((scope) => (rules[scope] === undefined ? [] : [[scope, rules[scope]]]))),
    };
    await gate;
    return answer;
  });
  await ledgerBus.flush();
};
const leave = async (): Promise<void> => {
  ledger?.unsubscribe();
  await ledgerBus.flush();
};

beforeEach(async () => {
  await leave();
  asked = [];
  kinds = [];
  rules = {};
  standings = [];
  gate = Promise.resolve();
  now = 0;
  slots = new Map();
  book = new RuleBook({ bus: ingressBus, clock: { now: () => now, epochMs: () => now } });
  await come();
});

const budget = (id: string, scope: string): BudgetTerms => ({
  ...{ id, name: id, scope, isHard: true },
  onLimit: { kind: 'reject' },
});
const holds = (part: Partial<ScopeRules>): ScopeRules => ({ limits: [], budgets: [], ...part });
/** As a caller who keeps its list of scopes, and with it what was found for them. */
const ask = async (...scopes: string[]): Promise<ScopeRuling> => {
  const key = scopes.join();
  const slot = slots.get(key) ?? {};
  slots.set(key, slot);
  return book.rulesOf(scopes, slot);
};
const nothing: ScopeRuling = { limits: [], budgets: [] };
const away = expect.objectContaining({ code: 'ledger_unavailable', retryAfterMs: 1_000 }) as Error;

describe('what holds for a request', () => {
  beforeEach(() => {
    kinds = ['total', 'user', 'user:*', 'key'];
    rules = {
      total: holds({ budgets: [budget('all', 'total')] }),
      'user:ada': holds({ limits: [{ requestsPerMinute: 5 }] }),
      'user:*': holds({ limits: [{ tokensPerMinute: 9 }], budgets: [budget('each', 'user:*')] }),
      'key:bad': holds({ blocked: { reason: 'leaked' } }),
    };
  });

  test('is what holds for each of its scopes and their patterns, in their order', async () => {
    expect(await ask('total', 'user:ada', 'key:good', 'model:m')).toEqual({
      limits: [
        limitOf('user:ada', 'user:ada', { requestsPerMinute: 5 }),
        limitOf('user:*', 'user:ada', { tokensPerMinute: 9 }),
      ],
      budgets: [
        { subject: 'total', terms: budget('all', 'total') },
        { subject: 'user:ada', terms: budget('each', 'user:*') },
      ],
    });
    expect(await ask('total', 'key:bad')).toMatchObject({ blocked: { scope: 'key:bad', reason: 'leaked' } });
  });

  test('has the limits of the configuration beside those of the ledger', async () => {
    book = new RuleBook({
      ...{ bus: ingressBus, clock: { now: () => now, epochMs: () => now } },
      configured: new Map([
        ['user:*', [{ concurrent: 2 }]],
        ['model:m', [{ requestsPerMinute: 1 }]],
      ]),
    });
    expect((await ask('user:ada', 'model:m')).limits).toEqual([
      limitOf('user:ada', 'user:ada', { requestsPerMinute: 5 }),
      limitOf('user:*', 'user:ada', { concurrent: 2 }),
      limitOf('user:*', 'user:ada', { tokensPerMinute: 9 }),
      limitOf('model:m', 'model:m', { requestsPerMinute: 1 }),
    ]);
  });

  test('is known at once from then on, and kinds without rules are not asked for', async () => {
    await ask('total', 'user:ada', 'key:good', 'model:m', 'tag:a=b');
    expect(asked.flat()).toHaveLength(9);
    expect(book.rulesOf(['total', 'user:ada', 'key:good', 'model:m', 'tag:a=b'])).not.toBeInstanceOf(Promise);
    expect(book.rulesOf(['total', 'user:ada', 'model:other', 'tag:c=d'])).toMatchObject({ limits: [{}, {}] });
    await ask('user:bob', 'key:*');
    expect(asked.at(-1)).toEqual(['user:bob']);
  });

  test('is one question for all that come in one turn, and none for what is being asked', async () => {
    await ask();
    await Promise.all([ask('user:a', 'key:a'), ask('user:b', 'key:a'), ask('user:a')]);
    expect(asked.slice(1)).toEqual([['key:a', 'user:*', 'user:a', 'user:b']]);
    let open = (): void => undefined;
    gate = new Promise((resolve) => (open = resolve));
    const first = ask('user:c');
    while (asked.length < 3) await ledgerBus.flush();
    const second = ask('user:c', 'user:d');
    while (asked.length < 4) await ledgerBus.flush();
    open();
    await Promise.all([first, second]);
    expect(asked.slice(2)).toEqual([['user:c'], ['user:d']]);
  });

  test('is several questions where there is more to ask than fits one', async () => {
    await ask();
    const users = Array.from({ length: 100 }, (_, index) => `user:u${index}`);
    await Promise.all(users.map((user) => ask(user)));
    expect(asked.slice(1).map((scopes) => scopes.length)).toEqual([64, 37]);
  });

  test('is not another’s whose names read alike when they stand in a row', async () => {
    kinds = ['tag'];
    rules = { 'tag:c=d': holds({ blocked: { reason: 'r' } }) };
    book.forget(undefined);
    expect(await ask('tag:a=b\ntag:c=d')).toEqual(nothing);
    expect(await ask('tag:a=b', 'tag:c=d')).toMatchObject({ blocked: { scope: 'tag:c=d' } });
    expect(await ask('tag:a=b\ntag:c=d')).toEqual(nothing);
  });
});

describe('how a soft budget stands', () => {
  const each: BudgetTerms = { ...budget('each', 'user:*'), isHard: false, onLimit: { kind: 'downgrade', to: 'cheap' } };
  const spent = holds({ over: [{ budget: 'each', untilEpochMs: 5 }] });
  const notOver: ScopeRuling = { limits: [], budgets: [{ subject: 'user:ada', terms: each }] };
  const isOver: ScopeRuling = {
    ...notOver,
    over: [{ item: { subject: 'user:ada', terms: each }, untilEpochMs: 5 }],
  };
  /** Until the answer to what is asked for besides is here. */
  const becomes = async (ruling: ScopeRuling): Promise<void> => {
    for (let looks = 0; looks < 1_000; looks++) {
      const found = await ask('user:ada');
      if ('over' in found === 'over' in ruling) break;
      await ledgerBus.flush();
    }
    expect(await ask('user:ada')).toEqual(ruling);
  };

  beforeEach(() => {
    kinds = ['user:*'];
    standings = ['user'];
    rules = { 'user:*': holds({ budgets: [each] }), 'user:ada': spent };
  });

  test('is asked for by name where the budget is for each apart, and told with what holds', async () => {
    expect(await ask('user:ada')).toEqual(isOver);
    expect((await ask('user:bob')).over).toBeUndefined();
    expect(asked.flat().toSorted()).toEqual(['user:*', 'user:ada', 'user:bob']);
    expect(book.rulesOf(['user:ada'])).toEqual(isOver);
  });

  test('is not asked for where no budget of that kind acts', async () => {
    standings = [];
    await ask();
    expect(await ask('user:ada')).toEqual(notOver);
    expect(asked.flat()).toEqual(['user:*']);
  });

  test('is told of a budget by name, and of one without an end', async () => {
    kinds = ['total'];
    standings = [];
    const all: BudgetTerms = { ...each, id: 'all', scope: 'total' };
    rules = {
      total: holds({ budgets: [budget('hard', 'total'), all], over: [{ budget: 'all' }, { budget: 'gone' }] }),
    };
    book.forget(undefined);
    const { over } = await ask('total');
    expect(over).toEqual([{ item: { subject: 'total', terms: all }, untilEpochMs: Infinity }]);
  });

  test('is asked for anew when it has changed, at once for whom is known here, and counts until then', async () => {
    await ask('user:ada');
    rules = { ...rules, 'user:ada': holds({}) };
    let open = (): void => undefined;
    gate = new Promise((resolve) => (open = resolve));
    const before = asked.length;
    book.onStandings(['user:ada', 'user:unknown']);
    expect(book.rulesOf(['user:ada'])).toEqual(isOver);
    open();
    await becomes(notOver);
    expect(asked.slice(before)).toEqual([['user:ada']]);
  });

  test('that changes while it is asked for is not what the earlier answer says', async () => {
    await ask('user:bob');
    let open = (): void => undefined;
    gate = new Promise((resolve) => (open = resolve));
    const before = asked.length;
    rules = { ...rules, 'user:ada': holds({}) };
    const asking = ask('user:ada');
    while (asked.length === before) await ledgerBus.flush();
    rules = { ...rules, 'user:ada': spent };
    book.onStandings(['user:ada']);
    open();
    expect(await asking).toEqual(isOver);
  });

  test('is asked for anew of everybody when the budget for each is changed', async () => {
    await ask('user:ada');
    rules = { ...rules, 'user:ada': holds({}) };
    book.forget(['user:*']);
    expect(await ask('user:ada')).toEqual(notOver);
  });

  test('nobody is refused for who is not known, while the ledger is away, and nobody waits for it twice', async () => {
    await ask('user:bob');
    await leave();
    expect(await ask('user:ada')).toEqual(notOver);
    now = 500;
    expect(book.rulesOf(['user:ada'])).toEqual(notOver);
    await come();
    now = 2_000;
    await becomes(isOver);
  });

  test('is what was told last, for ten minutes while the ledger is away', async () => {
    await ask('user:ada', 'total');
    await leave();
    now = 10 * MINUTE - 1;
    expect((await ask('user:ada')).over).toHaveLength(1);
  });
});

describe('where there are no rules', () => {
  test('nothing is asked for but that', async () => {
    book.warm();
    book.warm();
    await ask('total');
    for (let user = 0; user < 10; user++) expect(book.rulesOf([`user:${user}`])).toEqual(nothing);
    expect(asked.length).toBe(1);
  });
});

describe('a change', () => {
  test('is learned of a scope that is named, its kind’s first rule too', async () => {
    expect(await ask('team:a')).toEqual(nothing);
    kinds = ['team'];
    rules = { 'team:a': holds({ blocked: { reason: 'r' } }) };
    expect(book.rulesOf(['team:a'])).toEqual(nothing);
    book.forget(['team:a']);
    expect(await ask('team:a')).toMatchObject({ blocked: { reason: 'r' } });
    rules = {};
    book.forget(['team:a']);
    expect(await ask('team:a')).toEqual(nothing);
  });

  test('of a pattern is learned for everybody it is for', async () => {
    kinds = ['user:*'];
    expect(await ask('user:a')).toEqual(nothing);
    rules = { 'user:*': holds({ limits: [{ concurrent: 1 }] }) };
    book.forget(['user:*']);
    expect(await ask('user:a')).toMatchObject({ limits: [{ subject: 'user:a' }] });
    expect(await ask('user:b')).toMatchObject({ limits: [{ subject: 'user:b' }] });
  });

  test('of anything is learned of everything', async () => {
    kinds = ['team'];
    await ask('team:a', 'team:b');
    rules = { 'team:b': holds({ blocked: { reason: 'r' } }) };
    book.forget(undefined);
    expect(await ask('team:a', 'team:b')).toMatchObject({ blocked: { scope: 'team:b' } });
  });

  test.each([{ changed: ['team:a'] }, { changed: undefined }])(
    'while it is asked for is asked for again: $changed',
    async ({ changed }) => {
      kinds = ['team'];
      await ask();
      let open = (): void => undefined;
      gate = new Promise((resolve) => (open = resolve));
      const asking = ask('team:a');
      while (asked.length < 2) await ledgerBus.flush();
      rules = { 'team:a': holds({ blocked: { reason: 'r' } }) };
      book.forget(changed);
      open();
      expect(await asking).toMatchObject({ blocked: { reason: 'r' } });
    },
  );

  test('of keys alone makes nobody ask', async () => {
    kinds = ['team'];
    await ask('team:a');
    book.forget([]);
    expect(book.rulesOf(['team:a'])).toEqual(nothing);
  });
});

describe('what is known', () => {
  test('is asked for anew after a minute, while it still counts', async () => {
    kinds = ['team'];
    await ask('team:a');
    now = MINUTE - 1;
    expect(book.rulesOf(['team:a'])).toEqual(nothing);
    rules = { 'team:a': holds({ blocked: { reason: 'r' } }) };
    now = MINUTE;
    expect(book.rulesOf(['team:a'])).toEqual(nothing);
    while (!('blocked' in (await ask('team:a')))) await ledgerBus.flush();
    expect(asked.slice(1)).toEqual([['team:a']]);
  });

  test('that there is nothing, too', async () => {
    await ask('team:a');
    now = MINUTE;
    kinds = ['team'];
    rules = { 'team:a': holds({ blocked: { reason: 'r' } }) };
    while (!('blocked' in (await ask('team:a')))) await ledgerBus.flush();
  });
});

describe('while the ledger is away', () => {
  test('what is known counts for ten minutes', async () => {
    kinds = ['team'];
    rules = { 'team:a': holds({ limits: [{ concurrent: 1 }] }) };
    await ask('team:a');
    await leave();
    for (now of [MINUTE, 5 * MINUTE, 10 * MINUTE - 1]) expect((await ask('team:a')).limits).toHaveLength(1);
    now = 10 * MINUTE;
    await expect(ask('team:a')).rejects.toEqual(away);
    await come();
    expect((await ask('team:a')).limits).toHaveLength(1);
  });

  test('a scope that nobody asked for may have rules, unless its kind has none', async () => {
    kinds = ['team'];
    await ask('team:a');
    await leave();
    await expect(ask('team:b')).rejects.toEqual(away);
    now = 60 * MINUTE;
    expect(await ask('user:new', 'model:m')).toEqual(nothing);
  });

  test('nothing is served before it was heard of', async () => {
    await leave();
    await expect(ask('total')).rejects.toEqual(away);
    await come();
    expect(await ask('total')).toEqual(nothing);
  });
});
