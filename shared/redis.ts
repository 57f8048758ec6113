import { Redis } from 'ioredis';

/**
 * Whether Redis answers: a connection of its own, one PING, and its version. The only module that imports ioredis.
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
