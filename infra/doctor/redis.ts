import { pingRedis } from '../../shared/redis.ts';
import { reasonOf, withoutCredentials } from '../unreachable.ts';
import { ANSWER_TIMEOUT_MS, fail, ok } from './check.ts';
import type { Check, Patient } from './check.ts';

export async function checkRedis({ config }: Patient): Promise<Check> {
  const { url } = config.redis;
  if (url === undefined) return ok('redis', 'not set: limits and cache are in process, for one ingress');
  const where = withoutCredentials(url);
  try {
    const { version } = await pingRedis(url, ANSWER_TIMEOUT_MS);
    return ok('redis', `${version} at ${where}`);
  } catch (failure) {
    return fail(
      'redis',
      `${where}: ${reasonOf(failure)}`,
      'start it, or mend REDIS_URL; without REDIS_URL, one ingress needs none',
    );
  }
}
