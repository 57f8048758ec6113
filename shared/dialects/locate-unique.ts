import { GatewayError } from '../errors.ts';
import { DuplicateKey, locateOne } from '../json-locate.ts';
import type { ByteRange } from '../messages/task.ts';

/**
 * Where a top-level field of a request stands.
 * @param isPresent whether the parsed body has it
 * @param how where its value stands, or the whole member
 * @throws GatewayError(`invalid_request`) when it stands there twice: which of them counts?
 */
export function locateUnique(
  body: Buffer,
  key: string,
  isPresent: boolean,
  how: typeof locateOne = locateOne,
): ByteRange | undefined {
  try {
    return how(body, key, isPresent);
  } catch (failure) {
    if (!(failure instanceof DuplicateKey)) throw failure;
    throw new GatewayError('invalid_request', `The request names '${key}' twice.`, { param: key });
  }
}
