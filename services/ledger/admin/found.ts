import { GatewayError } from '../../../shared/errors.ts';

/** @throws GatewayError(`not_found`) for undefined */
export function found<T>(kind: string, id: string, thing: T | undefined): T {
  if (thing !== undefined) return thing;
  throw new GatewayError('not_found', `There is no ${kind} "${id}".`);
}
