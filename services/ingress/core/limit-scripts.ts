import type { ApplicableLimit, LimitAsk, Rate } from './limit-terms.ts';
import { unitsOf } from './limit-terms.ts';

/**
 * The limits of all scopes, as all ingresses count them together: `ScopeLimits` once more as Lua for Redis, each script one
 * atomic step over all keys of a request. Time is the server's, since the clocks of two ingresses are never compared.
 *
 * A subject's counters are one key, a msgpack map from their names to theoretical arrival times, which expires once all of them
 * have passed. Its requests under way are a sorted set of their ids by the time at which they count no longer, unless
 * their ingress says again that they do.
 */

const COUNTERS = 'sluice:scope:';
const UNDER_WAY = 'sluice:under-way:';

/** Milliseconds since 2026, with a fraction: smaller numbers keep more of it. */
export const SERVER_CLOCK = `
local time = redis.call('TIME')
local now = (time[1] - 1767225600) * 1000 + time[2] / 1000
`;

/**
 * KEYS: counters of `subjects` subjects, then as many sets of requests under way as are limited.
 * `arrivals` of each subject by name; `store` writes those that have not passed, `charge` moves one of them, once a script.
 */
const COMMON = `
local function load(subjects)
  local arrivals = {}
  if subjects == 0 then return arrivals end
  for i, stored in ipairs(redis.call('MGET', unpack(KEYS, 1, subjects))) do
    arrivals[i] = stored and cmsgpack.unpack(stored) or {}
  end
  return arrivals
end
local charged = {}
local function charge(arrivals, subject, name, interval, units)
  local id = subject .. name
  if charged[id] then return end
  charged[id] = true
  arrivals[subject][name] = math.max(arrivals[subject][name] or now, now) + units * interval
end
local function store(arrivals)
  for i, counters in ipairs(arrivals) do
    local kept, fullAt = {}, now
    for name, arrival in pairs(counters) do
      if arrival > now then
        kept[name] = arrival
        fullAt = math.max(fullAt, arrival)
      end
    end
    if fullAt > now then redis.call('SET', KEYS[i], cmsgpack.pack(kept), 'PX', math.ceil(fullAt - now) + 1000)
    else redis.call('DEL', KEYS[i]) end
  end
end
`;

/**
 * ARGV: the request's id, for how many ms it counts as under way, how long a refusal for that is to wait; how many subjects,
 * how many counters; for each of these its subject, name, emission interval, burst and units; for each set its limit.
 * Answers which counter or set (from 1 on, sets after counters) refused, 0 for none, how long to wait in µs, and for each
 * counter in how many µs it is full.
 */
const TAKE = `
local id, holdMs, concurrentWaitMs = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3])
local subjects, counters = tonumber(ARGV[4]), tonumber(ARGV[5])
local arrivals = load(subjects)
local refusedBy, waitMs = 0, 0
local asks = {}
for i = 1, counters do
  local at = 5 * i
  local subject, name, interval = tonumber(ARGV[at + 1]), ARGV[at + 2], tonumber(ARGV[at + 3])
  local burst, units = tonumber(ARGV[at + 4]), tonumber(ARGV[at + 5])
  asks[i] = { subject, name, interval, units }
  local arrival = arrivals[subject][name]
  if arrival then
    local left = burst - math.min(units, burst) + 0.001
    local wait = arrival - left * interval - now
    if wait > waitMs then refusedBy, waitMs = i, wait end
  end
end
for i = subjects + 1, #KEYS do
  redis.call('ZREMRANGEBYSCORE', KEYS[i], '-inf', now)
  local limit = tonumber(ARGV[5 + 5 * counters + i - subjects])
  if redis.call('ZCARD', KEYS[i]) >= limit and concurrentWaitMs > waitMs then
    refusedBy, waitMs = counters + i - subjects, concurrentWaitMs
  end
end
if refusedBy == 0 then
  for _, ask in ipairs(asks) do charge(arrivals, unpack(ask)) end
  store(arrivals)
  for i = subjects + 1, #KEYS do
    redis.call('ZADD', KEYS[i], now + holdMs, id)
    redis.call('PEXPIRE', KEYS[i], holdMs + 1000)
  end
end
local answer = { refusedBy, math.ceil(waitMs * 1000) }
for i, ask in ipairs(asks) do
  answer[i + 2] = math.ceil(math.max(0, (arrivals[ask[1]][ask[2]] or now) - now) * 1000)
end
return answer
`;

/**
 * ARGV: how many subjects, how many counters; for each of these its subject, name, emission interval and the units used
 * beyond what was taken, below zero to give back; then the request that is no longer under way, in any of the sets.
 */
const SETTLE = `
local subjects, counters = tonumber(ARGV[1]), tonumber(ARGV[2])
local arrivals = load(subjects)
for i = 1, counters do
  local at = 4 * i - 2
  charge(arrivals, tonumber(ARGV[at + 1]), ARGV[at + 2], tonumber(ARGV[at + 3]), tonumber(ARGV[at + 4]))
end
store(arrivals)
for i = subjects + 1, #KEYS do redis.call('ZREM', KEYS[i], ARGV[3 + 4 * counters]) end
return 0
`;

/** KEYS: one set. ARGV: for how many ms, and the requests of one ingress that are still under way. */
const RENEW = `
local expiresAt = now + tonumber(ARGV[1])
for i = 2, #ARGV do redis.call('ZADD', KEYS[1], expiresAt, ARGV[i]) end
redis.call('PEXPIRE', KEYS[1], tonumber(ARGV[1]) + 1000)
return 0
`;

/** @param clock Lua that sets `now`; a test gives its own */
export function limitScripts(clock = SERVER_CLOCK): {
  readonly take: string;
  readonly settle: string;
  readonly renew: string;
} {
  return { take: `${clock}${COMMON}${TAKE}`, settle: `${clock}${COMMON}${SETTLE}`, renew: `${clock}${RENEW}` };
}

/** What a script is called with. */
export interface ScriptCall {
  readonly keys: readonly string[];
  readonly args: ReadonlyArray<string | number>;
}

interface PlannedCounter {
  readonly limit: ApplicableLimit;
  readonly rate: Rate;
  /** Among those of its subject. */
  readonly name: string;
  /** Its key's place, from 1 on. */
  readonly subject: number;
}

/** What an ask's answer is about, in the order of its counters and sets. */
export interface LimitPlan {
  readonly counters: readonly PlannedCounter[];
  readonly sets: readonly ApplicableLimit[];
  readonly counterKeys: readonly string[];
  readonly setKeys: readonly string[];
}

export function planOf(limits: readonly ApplicableLimit[]): LimitPlan {
  const counterKeys: string[] = [];
  const setKeys: string[] = [];
  const counters: PlannedCounter[] = [];
  const sets: ApplicableLimit[] = [];
  for (const limit of limits) {
    const { list, name } = limit.rates;
    const key = COUNTERS + limit.subject;
    if (list.length > 0 && !counterKeys.includes(key)) counterKeys.push(key);
    for (const rate of list)
      counters.push({ limit, rate, name: `${rate.column}/${name}`, subject: counterKeys.indexOf(key) + 1 });
    if (limit.terms.concurrent === undefined) continue;
    sets.push(limit);
    setKeys.push(`${UNDER_WAY}${name}/${limit.subject}`);
  }
  return { counters, sets, counterKeys, setKeys };
}

/** @param waits for how long a request counts as under way, and how long one waits that is refused for their number */
export function takeCall(
  ask: LimitAsk,
  { counters, sets, counterKeys, setKeys }: LimitPlan,
  waits: { readonly holdMs: number; readonly concurrentWaitMs: number },
): ScriptCall {
  const args: Array<string | number> = [ask.requestId, waits.holdMs, waits.concurrentWaitMs];
  args.push(counterKeys.length, counters.length);
  for (const { rate, name, subject } of counters)
    args.push(subject, name, rate.emissionIntervalMs, rate.burst, unitsOf(ask, rate.dimension));
  for (const { terms } of sets) args.push(terms.concurrent ?? Infinity);
  return { keys: [...counterKeys, ...setKeys], args };
}

/**
 * @param unitsOfRate used beyond what was taken; 0: that counter stays as it is
 * @returns undefined when there is nothing to do
 */
export function settleCall(
  { counters, counterKeys, setKeys }: LimitPlan,
  unitsOfRate: (rate: Rate) => number,
  requestId: string,
): ScriptCall | undefined {
  const moved = counters.filter(({ rate }) => unitsOfRate(rate) !== 0);
  if (moved.length === 0 && setKeys.length === 0) return undefined;
  const subjects = moved.length === 0 ? [] : counterKeys;
  const args: Array<string | number> = [subjects.length, moved.length];
  for (const { rate, name, subject } of moved) args.push(subject, name, rate.emissionIntervalMs, unitsOfRate(rate));
  return { keys: [...subjects, ...setKeys], args: [...args, requestId] };
}
