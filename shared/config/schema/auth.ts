import { MAY_NAME, ROLES } from '../../messages/key.ts';
import { MAX_SCOPE_ID_CHARS, MAX_TAGS } from '../../scope.ts';
import {
  choice,
  eitherList,
  field,
  fitting,
  InvalidValue,
  list,
  named,
  secret,
  section,
  text,
  url,
} from '../fields.ts';
import { OVERRIDE_NAMES } from '../types.ts';
import type { OverridesAllowed } from '../types.ts';
import { keyBudgetFields } from './budgets.ts';
import { limitTermsFields } from './limits.ts';
import { checkModelPattern, checkNetwork, checkPlainName, checkRegion, checkRouteName } from './names.ts';

/** `all`, `none`, or a list of names. */
const overridesFields = eitherList(
  choice(['all', 'none']).transform((word): OverridesAllowed => (word === 'all' ? word : [])),
  list(choice(OVERRIDE_NAMES)),
);

/** A moment of ISO 8601 → milliseconds of the Unix epoch; a date alone is its beginning, in UTC. */
const moment = field((value) => {
  const isDate =
    typeof value === 'string' && /^\d{4}-\d\d-\d\d(T\d\d:\d\d(:\d\d(\.\d+)?)?(Z|[+-]\d\d:\d\d))?$/.test(value);
  const epochMs = isDate ? Date.parse(value) : NaN;
  if (Number.isFinite(epochMs)) return epochMs;
  throw new InvalidValue('must be a date or a moment such as 2027-01-31 or 2027-01-31T12:00:00Z');
});

const tagsFields = fitting(
  named(checkTagName, () => text()),
  (tags) => {
    if (tags.size > MAX_TAGS) return { message: `must be ${MAX_TAGS} at most` };
    const [long] = [...tags].find(([name, value]) => `${name}=${value}`.length > MAX_SCOPE_ID_CHARS) ?? [];
    return long === undefined ? undefined : { key: long, message: `is longer than ${MAX_SCOPE_ID_CHARS} characters` };
  },
);

const keyFields = section({
  name: text(),
  key: secret(),
  team: text(checkId).optional(),
  user: text(checkId).optional(),
  organisation: text(checkId).optional(),
  role: choice(ROLES).optional(),
  overrides: overridesFields.default('all'),
  expires: moment.optional(),
  routes: list(text(checkRouteName)).optional(),
  models: list(text(checkModelPattern)).optional(),
  regions: list(text(checkRegion)).optional(),
  networks: list(text(checkNetwork)).optional(),
  may_name: list(choice(MAY_NAME)).optional(),
  tags: tagsFields.prefault({}),
  log_payloads: choice(['none', 'redacted', 'full']).default('none'),
  budget: keyBudgetFields.optional(),
  limits: limitTermsFields.optional(),
});

const claim = text();
const claimsFields = section({
  user: claim.default('sub'),
  team: claim.optional(),
  organisation: claim.optional(),
  role: claim.optional(),
  tags: claim.optional(),
});

const issuerFields = section({
  issuer: url(['https', 'http']),
  name: text(checkPlainName('token issuer’s')).optional(),
  audience: eitherList(
    text().transform((one): readonly string[] => [one]),
    list(text()).min(1, 'must name at least one'),
  ),
  jwks_url: url(['https', 'http']).optional(),
  claims: claimsFields.prefault({}),
  roles: named(
    () => undefined,
    () => choice(ROLES),
  ).prefault({}),
});

/** As the ledger's own, `MIN_SECRET_CHARS` of services/ledger/principals/key-secret.ts. */
const SHORTEST_SECRET = 16;

const secretOfHashes = field((value) => {
  if (typeof value === 'string' && value.length >= SHORTEST_SECRET) return value;
  throw new InvalidValue(`must be text of ${SHORTEST_SECRET} characters or more`);
});

export const authFields = section(
  {
    admin_key: secret().optional(),
    secret: secretOfHashes.optional(),
    keys: list(keyFields).default([]),
    jwt: list(issuerFields).default([]),
  },
  ['allow_anonymous'],
);

/** It is a part of a scope: `team:search`. */
function checkId(id: string): void {
  if (id.length > MAX_SCOPE_ID_CHARS) throw new InvalidValue(`must be ${MAX_SCOPE_ID_CHARS} characters at most`);
}

function checkTagName(name: string): void {
  if (!/^[^=\s]+$/.test(name)) throw new InvalidValue('a tag’s name must not contain `=` or spaces');
}
