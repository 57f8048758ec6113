/**
 * The limits of one deployment that all workers share, as Lua for Redis: `Gcra` and `Limiter` once more, with the server's
 * own time, since the clocks of two workers are never compared. The same cases drive both (`test/conformance/limits.test.ts`).
 *
 * KEYS[1] is a hash of times in milliseconds: the theoretical arrivals of `requests` and of `tokens`, and `block`, before
 * which nothing is admitted. It expires once all of them are long past. A limit of 0 is none.
 */
const COMMON = `
local time = redis.call('TIME')
local now = time[1] * 1000 + time[2] / 1000
local function read(field)
  return tonumber(redis.call('HGET', KEYS[1], field) or '0')
end
local function write(field, at)
  redis.call('HSET', KEYS[1], field, string.format('%.17g', at))
  local keepMs = math.ceil(math.max(0, at - now)) + 60000
  if redis.call('PTTL', KEYS[1]) < keepMs then redis.call('PEXPIRE', KEYS[1], keepMs) end
end
local function charge(field, cost, perMinute)
  if perMinute > 0 and cost ~= 0 then write(field, math.max(read(field), now) + cost * 60000 / perMinute) end
end
local function wait(field, cost, perMinute)
  if perMinute == 0 then return 0 end
  local left = perMinute - math.min(cost, perMinute) + 0.001
  return read(field) - left * 60000 / perMinute - now
end
`;

/** ARGV: requests per minute, tokens per minute, tokens. Answers 0 when admitted, else for how long nothing is, in ms. */
export const TAKE = `${COMMON}
local requestsPerMinute, tokensPerMinute, tokens = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
local waitMs = math.max(
  read('block') - now, wait('requests', 1, requestsPerMinute), wait('tokens', tokens, tokensPerMinute))
if waitMs > 0 then return math.ceil(waitMs) end
charge('requests', 1, requestsPerMinute)
charge('tokens', tokens, tokensPerMinute)
return 0
`;

/** ARGV: requests per minute, tokens per minute, and how many more were used of each; negative gives back. */
export const CORRECT = `${COMMON}
charge('requests', tonumber(ARGV[3]), tonumber(ARGV[1]))
charge('tokens', tonumber(ARGV[4]), tonumber(ARGV[2]))
return 0
`;

/** ARGV: for how many milliseconds nothing is admitted. Of two such times the later counts. */
export const BLOCK = `${COMMON}
local blockedUntil = now + tonumber(ARGV[1])
if blockedUntil > read('block') then write('block', blockedUntil) end
return 0
`;
