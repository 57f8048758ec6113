import type { Account } from '../../../shared/messages/account.ts';
import type { ScopeName } from '../../../shared/scope.ts';
import type { AdmittedRequest } from '../request.ts';
import type { RulingSlot } from './ruling-memory.ts';

/** Whom a request is charged to. */
export interface Charged {
  readonly scopes: readonly ScopeName[];
  /** The id of its scope `model:`. */
  readonly modelScope: string;
  /** null: its name is no route's. */
  readonly route: string | null;
  /** For what holds for these scopes. */
  readonly slot: RulingSlot;
}

/** What the worker and the ledger are told of that; undefined when the key says it all. */
export function accountOf(
  { attribution, model, principal }: Pick<AdmittedRequest, 'attribution' | 'model' | 'principal'>,
  { modelScope, isBudgeted }: { readonly modelScope: string; readonly isBudgeted: boolean },
  admittedEpochMs: number,
): Account | undefined {
  const { organisation, user, feature, session, tags } = attribution;
  const hasTags = hasAny(tags);
  const isPlain =
    !isBudgeted &&
    modelScope === model &&
    organisation === (principal.organisation ?? null) &&
    user === (principal.user ?? null) &&
    feature === null &&
    session === null &&
    !hasTags;
  if (isPlain) return undefined;
  // Made up field by field: spreading each takes five times as long.
  const account: Account = { admittedEpochMs };
  // The key's own need not be said.
  if (organisation !== null && organisation !== principal.organisation) account.organisation = organisation;
  if (user !== null && user !== principal.user) account.user = user;
  if (feature !== null) account.feature = feature;
  if (session !== null) account.session = session;
  if (hasTags) account.tags = { ...tags };
  if (modelScope !== model) account.modelScope = modelScope;
  return account;
}

function hasAny(tags: Readonly<Record<string, string>>): boolean {
  for (const _ in tags) return true;
  return false;
}
