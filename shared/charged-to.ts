import type { Account } from './messages/account.ts';
import type { Principal } from './messages/envelope.ts';
import type { UsageRecorded } from './messages/usage.ts';

/** The fields of a usage event that say whom the attempt is charged to, and by which reservation. */
export type ChargedTo = Pick<
  UsageRecorded,
  | 'organisation'
  | 'user'
  | 'feature'
  | 'session'
  | 'tags'
  | 'modelScope'
  | 'routeScope'
  | 'admittedEpochMs'
  | 'reservedNanoUsd'
  | 'leases'
  | 'earlier'
>;

/**
 * Whoever reports an attempt, its worker or its ingress, tells the same. What there is not is left out: most events are
 * without most of it.
 * @param account undefined: nothing but the key says whose the request is
 */
export function chargedTo(
  principal: Principal,
  account: Account | undefined,
  earlier: ChargedTo['earlier'],
): ChargedTo {
  const organisation = account?.organisation ?? principal.organisation;
  const user = account?.user ?? principal.user;
  const tags = account?.tags;
  return {
    ...(organisation == null ? {} : { organisation }),
    ...(user == null ? {} : { user }),
    ...(account?.feature == null ? {} : { feature: account.feature }),
    ...(account?.session == null ? {} : { session: account.session }),
    ...(tags === undefined || Object.keys(tags).length === 0 ? {} : { tags }),
    ...(account?.modelScope == null ? {} : { modelScope: account.modelScope }),
    ...(account?.routeScope === undefined ? {} : { routeScope: account.routeScope }),
    ...(account === undefined ? {} : { admittedEpochMs: account.admittedEpochMs }),
    ...(account?.reservedNanoUsd === undefined ? {} : { reservedNanoUsd: account.reservedNanoUsd }),
    ...(account?.leases === undefined ? {} : { leases: account.leases }),
    ...(earlier == null || earlier.length === 0 ? {} : { earlier }),
  };
}
