import { GatewayError } from '../../shared/errors.ts';
import type { Principal } from '../../shared/messages/envelope.ts';
import type { KeyPolicy } from '../../shared/messages/key.ts';
import { Networks } from '../../shared/networks.ts';

/** Who asks, and what they may do. */
export interface Caller {
  readonly principal: Principal;
  readonly policy: Readonly<KeyPolicy>;
}

/** A caller as it is remembered, with what is looked at for each of its requests made ready. */
export interface KnownCaller {
  readonly caller: Caller;
  /** undefined: from everywhere. */
  readonly networks: Networks | undefined;
}

export function knownCaller(caller: Caller): KnownCaller {
  const { networks } = caller.policy;
  return { caller, networks: networks === undefined ? undefined : new Networks(networks) };
}

/**
 * The caller, if it may ask at all: now, and from there.
 * @param address whence the request comes, '' when nobody knows
 * @throws GatewayError(`key_blocked`, `key_expired`, `network_not_allowed`)
 */
export function admitCaller({ caller, networks }: KnownCaller, address: string, epochMs: number): Caller {
  const { isBlocked, expiresEpochMs } = caller.policy;
  if (isBlocked === true) throw new GatewayError('key_blocked', 'This API key is blocked.');
  if (expiresEpochMs !== undefined && epochMs >= expiresEpochMs)
    throw new GatewayError('key_expired', `This API key ended at ${new Date(expiresEpochMs).toISOString()}.`);
  if (networks !== undefined && !networks.has(address))
    throw new GatewayError('network_not_allowed', 'This API key may not be used from this address.');
  return caller;
}
