/** What the limits of one request take, at every scope, with few and with many keys: in process, and in Redis. */
import { defaultCacheDir } from '../../infra/servers/cache-dir.ts';
import { startRedis } from '../../infra/servers/redis.ts';
import { SERVER_CLOCK } from '../../services/ingress/core/limit-scripts.ts';
import type { ApplicableLimit, LimitAsk } from '../../services/ingress/core/limit-terms.ts';
import { limitOf, ratesOf } from '../../services/ingress/core/limit-terms.ts';
import { ScopeLimits } from '../../services/ingress/core/scope-limits.ts';
import type { Limits } from '../../services/ingress/limits/limits.ts';
import { SharedScopeLimits } from '../../services/ingress/limits/shared-scope-limits.ts';
import { createLog } from '../../shared/log.ts';
import type { RedisConnection } from '../../shared/redis.ts';
import { connectRedis, redisScript } from '../../shared/redis.ts';
import { scopesOf } from '../../shared/scope.ts';
import { ADMISSION_KEYS } from './scenarios.ts';

export interface AdmissionCost {
  readonly where: 'process' | 'redis';
  /** Keys with counters, each of a user of its own. */
  readonly keys: number;
  readonly round: number;
  readonly p50Us: number;
  readonly p99Us: number;
}

/** Large enough that nothing is refused; each scope has its own. */
const TERMS = {
  requestsPerMinute: 60_000_000,
  tokensPerMinute: 1_000_000_000_000,
  cost: { nanoUsd: 1_000_000_000_000_000, perMs: 3_600_000 },
  concurrent: 1_000_000,
};
const KINDS = ['total', 'organisation', 'team', 'user', 'key', 'feature', 'model', 'route'] as const;
const TERMS_OF = new Map(KINDS.map((kind) => [kind as string, { ...TERMS }]));
const TOKENS = 1_000;
const COST_NANO_USD = 600_000;
/** No divisor of the numbers of keys: all of them have their turn, in no order that a cache likes. */
const STRIDE = 7_919;
const WARM_UP = 20_000;
/** What the counters in Redis are from full, within a minute's room; and for how long they stay there in any case. */
const USED_MS = 50_000;
const KEPT_MS = 3_600_000;
const FILLED_AT_ONCE = 2_000;
const REDIS_TIMEOUT_MS = 10_000;

/** @param requests measured for each number of keys: in process, in Redis */
export async function measureAdmissions(
  round: number,
  requests: { readonly inProcess: number; readonly inRedis: number },
): Promise<AdmissionCost[]> {
  const costs: AdmissionCost[] = [];
  for (const keys of ADMISSION_KEYS) {
    const limits = new ScopeLimits();
    fillProcess(limits, keys);
    costs.push({ where: 'process', keys, round, ...inProcess(limits, keys, requests.inProcess) });
  }
  const server = await startRedis({ cacheDir: defaultCacheDir(process.env), log: createLog('silent', 'bench') });
  const redis = connectRedis(server.url, { name: 'sluice-bench', timeoutMs: REDIS_TIMEOUT_MS });
  try {
    await untilThere(redis);
    for (const keys of ADMISSION_KEYS) {
      await fillRedis(redis, keys);
      costs.push({ where: 'redis', keys, round, ...(await inRedis(redis, keys, requests.inRedis)) });
    }
  } finally {
    redis.close();
    await server.stop();
  }
  return costs;
}

/** As a request has them that falls in every scope, with a limit of each sort for each. */
function limitsOf(key: number): ApplicableLimit[] {
  const attribution = {
    ...{ organisation: 'acme', team: 'search', feature: 'summary', session: null, tags: {} },
    ...{ user: `user-${key}`, keyId: `key_0199f3c0d8c0753f8a5d${key}` },
  };
  const scopes = scopesOf(attribution, { model: 'openai/gpt-4o-mini', route: 'chat' });
  return scopes.map((subject) => {
    const [kind = ''] = subject.split(':', 1);
    return limitOf(subject, subject, TERMS_OF.get(kind) ?? TERMS);
  });
}

let asked = 0;
function askOf(key: number): LimitAsk {
  return { limits: limitsOf(key), tokens: TOKENS, costNanoUsd: COST_NANO_USD, requestId: `req_${asked++}` };
}

const keyOf = (turn: number, keys: number): number => (turn * STRIDE) % keys;

/** Time stands still: nothing is full again, and so nothing is forgotten. */
function fillProcess(limits: ScopeLimits, keys: number): void {
  for (let key = 0; key < keys; key++) take(limits, askOf(key));
}

function take(limits: ScopeLimits, ask: LimitAsk): void {
  const taken = limits.take(ask, 0);
  if (taken.kind === 'refused') throw new Error(`refused by ${taken.limit.scope}`);
  limits.end(taken, ask, 0);
}

function inProcess(limits: ScopeLimits, keys: number, requests: number): Pick<AdmissionCost, 'p50Us' | 'p99Us'> {
  const took: number[] = [];
  for (let turn = -WARM_UP; turn < requests; turn++) {
    const ask = askOf(keyOf(turn + WARM_UP, keys));
    const before = performance.now();
    const taken = limits.take(ask, 0);
    const us = (performance.now() - before) * 1_000;
    if (taken.kind === 'refused') throw new Error(`refused by ${taken.limit.scope}`);
    limits.end(taken, ask, 0);
    if (turn >= 0) took.push(us);
  }
  return quantiles(took);
}

/** One after another: what a request waits, not what Redis can do. */
async function inRedis(
  redis: RedisConnection,
  keys: number,
  requests: number,
): Promise<Pick<AdmissionCost, 'p50Us' | 'p99Us'>> {
  const shared = new SharedScopeLimits({
    redis: { isAway: false, run: (script, names, args) => redis.run(script, names, args) },
    here: new ScopeLimits(),
    onDegraded: () => {
      throw new Error('Redis did not answer');
    },
  });
  const limits: Limits = shared;
  const took: number[] = [];
  try {
    const warmUp = Math.ceil(requests / 4);
    for (let turn = -warmUp; turn < requests; turn++) {
      const ask = askOf(keyOf(turn + warmUp, keys));
      const before = performance.now();
      const taken = await limits.take(ask, before);
      const us = (performance.now() - before) * 1_000;
      if (taken.kind === 'refused') throw new Error(`refused by ${taken.limit.scope}`);
      limits.end(taken, ask, before);
      if (turn >= 0) took.push(us);
    }
  } finally {
    shared.stop();
  }
  return quantiles(took);
}

const FILL = redisScript(`${SERVER_CLOCK}
  for i, key in ipairs(KEYS) do
    local counters = {}
    for name = 3, #ARGV do counters[ARGV[name]] = now + ARGV[1] end
    redis.call('SET', key, cmsgpack.pack(counters), 'PX', ARGV[2])
  end
  return #KEYS`);

/** The counters of so many keys and their users. */
async function fillRedis(redis: RedisConnection, keys: number): Promise<void> {
  const { list, name } = ratesOf(TERMS);
  const counters = list.map(({ column }) => `${column}/${name}`);
  for (let from = 0; from < keys; from += FILLED_AT_ONCE) {
    const count = Math.min(FILLED_AT_ONCE, keys - from);
    const names = Array.from({ length: count }, (_, i) => limitsOf(from + i))
      .flat()
      .filter(({ subject }) => /^(user|key):/.test(subject))
      .map(({ subject }) => `sluice:scope:${subject}`);
    await redis.run(FILL, names, [USED_MS, KEPT_MS, ...counters]);
  }
}

async function untilThere(redis: RedisConnection): Promise<void> {
  const isThere = (): Promise<boolean> =>
    redis.run(redisScript('return 1'), 'none', []).then(
      () => true,
      () => false,
    );
  while (!(await isThere())) await new Promise((resolve) => setTimeout(resolve, 20));
}

function quantiles(values: number[]): { p50Us: number; p99Us: number } {
  const sorted = values.toSorted((a, b) => a - b);
  const at = (share: number): number => sorted[Math.floor(share * sorted.length)] ?? NaN;
  return { p50Us: at(0.5), p99Us: at(0.99) };
}
