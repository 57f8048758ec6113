import { createHash } from 'node:crypto';
import { Redis } from 'ioredis';

/** A connection that has not answered a command for this long is dead: it is made anew. */
const SILENT_MS = 5_000;
const MAX_RECONNECT_MS = 1_000;

/** Lua that Redis runs in one step. */
export interface RedisScript {
  readonly lua: string;
  /** Its name at the server, which keeps what it has run once. */
  readonly sha1: string;
}

export function redisScript(lua: string): RedisScript {
  return { lua, sha1: createHash('sha1').update(lua).digest('hex') };
}

/** One connection, which comes back by itself. While it is away every call fails at once: nothing waits in line for it. */
export interface RedisConnection {
  /**
   * @param keys what the script reads and writes: one, or several
   * @throws Error when there is no answer within the connection's `timeoutMs`; the script may have run all the same
   */
  run(script: RedisScript, keys: string | readonly string[], args: ReadonlyArray<string | number>): Promise<unknown>;
  close(): void;
}

/** Does not wait until the server is there. */
export function connectRedis(url: string, { name, timeoutMs }: { name: string; timeoutMs: number }): RedisConnection {
  const redis = new Redis(url, {
    connectionName: name,
    connectTimeout: SILENT_MS,
    socketTimeout: SILENT_MS,
    enableOfflineQueue: false,
    // What was on its way when the connection broke may have run: to run it again would count it twice.
    autoResendUnfulfilledCommands: false,
    maxRetriesPerRequest: 0,
    retryStrategy: (times) => Math.min(MAX_RECONNECT_MS, 50 * times),
  });
  // Each call that fails says so to its caller; without a listener an error would end the process.
  redis.on('error', () => {});
  const evaluate = async (
    { lua, sha1 }: RedisScript,
    keys: readonly string[],
    args: ReadonlyArray<string | number>,
  ) => {
    try {
      return await redis.evalsha(sha1, keys.length, ...keys, ...args);
    } catch (cause) {
      if (!(cause instanceof Error) || !cause.message.startsWith('NOSCRIPT')) throw cause;
      return redis.eval(lua, keys.length, ...keys, ...args);
    }
  };
  return {
    run: (script, keys, args) => within(evaluate(script, typeof keys === 'string' ? [keys] : keys, args), timeoutMs),
    close: () => redis.disconnect(),
  };
}

/** Its last chance is after what has arrived is read: a process that was busy itself must not blame the server. */
async function within<T>(promise: Promise<T>, timeoutMs: number): Promise<T> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_resolve, reject) => {
    timer = setTimeout(() => setImmediate(reject, new Error(`no answer within ${timeoutMs} ms`)), timeoutMs);
  });
  try {
    return await Promise.race([promise, late]);
  } finally {
    clearTimeout(timer);
  }
}

/**
 * Whether Redis answers: a connection of its own, one PING, and its version.
 * @throws Error with the reason when it does not answer within `timeoutMs`
 */
export async function pingRedis(url: string, timeoutMs: number): Promise<{ readonly version: string }> {
  const redis = new Redis(url, {
    lazyConnect: true,
    connectTimeout: timeoutMs,
    commandTimeout: timeoutMs,
    maxRetriesPerRequest: 0,
    retryStrategy: () => null,
    connectionName: 'sluice-ping',
  });
  // connect() only says that the connection was closed; the event has the reason.
  let reason: Error | undefined;
  redis.on('error', (error: Error) => {
    reason ??= error;
  });
  try {
    await redis.connect();
    await redis.ping();
    const said = await redis.info('server').catch(() => '');
    return { version: /^redis_version:(\S+)/m.exec(said)?.[1] ?? 'unknown' };
  } catch (cause) {
    throw reason ?? cause;
  } finally {
    redis.disconnect();
  }
}
