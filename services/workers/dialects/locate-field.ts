import { GatewayError } from '../../../shared/errors.ts';
import { DuplicateKey, locateOne } from '../../../shared/json-locate.ts';
import type { ByteRange } from '../../../shared/messages/task.ts';

/**
 * Where a top-level value stands in a provider's answer.
 * @param bytes valid JSON, an object
 * @throws GatewayError(`upstream_malformed`) when the key stands there twice: which one would the client believe?
 */
export function locateField(bytes: Buffer, key: string): ByteRange | undefined {
  try {
    return locateOne(bytes, key, true);
  } catch (failure) {
    if (failure instanceof DuplicateKey)
      throw new GatewayError('upstream_malformed', `The provider’s answer names "${key}" twice.`);
    throw failure;
  }
}
