import type { Millis } from '../../../shared/clock.ts';
import type { UsageRecorded } from '../../../shared/messages/usage.ts';
import type { NanoUsd } from '../../../shared/money.ts';
import type { ScopeName } from '../../../shared/scope.ts';
import { scopesOf } from '../../../shared/scope.ts';
import { keyPart } from './key-part.ts';
import { partOf, partMsOf } from './rolling.ts';
import type { TargetWindow } from './targets.ts';

/** Whose budgets pay, and from which leases. One object for all charges of a batch that are alike in this. */
export interface Payer {
  readonly scopes: readonly ScopeName[];
  /** What it was reserved from. */
  readonly leases: readonly string[];
  readonly ingress: string;
}

/** What is charged to the budgets of its scopes: an event's cost, or what a correction adds to it. */
export interface BudgetCharge {
  readonly payer: Payer;
  /** Decides the window. */
  readonly epochMs: Millis;
  /** Negative where a correction makes it cheaper. */
  readonly costNanoUsd: NanoUsd;
}

/** Of what costs something. */
export function chargesOf(events: readonly UsageRecorded[]): BudgetCharge[] {
  const payers = new Map<string, Payer>();
  const charges: BudgetCharge[] = [];
  for (const event of events) {
    const costNanoUsd = BigInt(event.costNanoUsd ?? 0);
    if (costNanoUsd === 0n) continue;
    const key = keyOf(event);
    let payer = payers.get(key);
    if (payer === undefined) payers.set(key, (payer = payerOf(event)));
    charges.push({ payer, epochMs: event.admittedEpochMs ?? event.startedEpochMs, costNanoUsd });
  }
  return charges;
}

/** Charges of one payer to the same windows: settled as one. */
export interface ChargeSum {
  readonly payer: Payer;
  readonly windows: readonly TargetWindow[];
  /** Of one of them; in a rolling budget they are all of the same part. */
  readonly epochMs: Millis;
  cost: NanoUsd;
}

interface OpenSum extends ChargeSum {
  readonly isCheaper: boolean;
  /** Whatever is charged to its payer at a moment from here on, and before `until`, goes to the same windows. */
  readonly from: Millis;
  readonly until: Millis;
}

/**
 * Sums charges up. A batch is mostly of few payers within one window; what makes something cheaper takes nothing from
 * leases, so it is summed apart.
 * @param windowsOf all windows that a payer is charged in at a moment
 */
export function sumUp(
  charges: readonly BudgetCharge[],
  windowsOf: (payer: Payer, epochMs: Millis) => readonly TargetWindow[],
): ChargeSum[] {
  const sums = new Map<Payer, OpenSum[]>();
  for (const { payer, epochMs, costNanoUsd } of charges) {
    let open = sums.get(payer);
    if (open === undefined) sums.set(payer, (open = []));
    const isCheaper = costNanoUsd < 0n;
    const known = open.find((sum) => sum.isCheaper === isCheaper && epochMs >= sum.from && epochMs < sum.until);
    if (known !== undefined) known.cost += costNanoUsd;
    else open.push({ ...openAt(epochMs, windowsOf(payer, epochMs)), payer, isCheaper, cost: costNanoUsd });
  }
  return [...sums.values()].flat();
}

function openAt(epochMs: Millis, windows: readonly TargetWindow[]): Omit<OpenSum, 'payer' | 'isCheaper' | 'cost'> {
  let from = -Infinity;
  let until = Infinity;
  for (const { startsAt, endsAt, rollingMs } of windows) {
    from = Math.max(from, startsAt);
    until = Math.min(until, endsAt);
    if (rollingMs === null) continue;
    const partStartsAt = partOf(rollingMs, epochMs);
    from = Math.max(from, partStartsAt);
    until = Math.min(until, partStartsAt + partMsOf(rollingMs));
  }
  return { windows, epochMs, from, until };
}

/** The same for events of one payer, and for no others. */
function keyOf(event: UsageRecorded): string {
  const { organisation, team, user, keyId, feature, tags, model, modelScope, ingress } = event;
  let key = keyPart(organisation) + keyPart(team) + keyPart(user) + keyPart(keyId) + keyPart(feature);
  key += keyPart(modelScope ?? model) + keyPart(routeOf(event)) + keyPart(ingress);
  for (const name in tags) key += keyPart(name) + keyPart(tags[name]);
  key += keyPart(null);
  for (const lease of event.leases ?? []) key += keyPart(lease);
  return key;
}

function payerOf(event: UsageRecorded): Payer {
  const { organisation, team, user, feature, session, keyId, tags, model, modelScope, leases, ingress } = event;
  const attribution = {
    ...{ organisation: organisation ?? null, team, user: user ?? null, keyId },
    ...{ feature: feature ?? null, session: session ?? null, tags: tags ?? {} },
  };
  const scopes = scopesOf(attribution, { model: modelScope ?? model, route: routeOf(event) });
  return { scopes, leases: leases ?? [], ingress };
}

function routeOf({ route, routeScope }: UsageRecorded): string | null {
  return routeScope === undefined ? route : routeScope;
}
