import { parseScope } from '../../scope.ts';
import { suggest } from '../errors.ts';
import { InvalidValue, cost, duration, fitting, integer, named, section } from '../fields.ts';
import { HOUR, SECOND } from './waits.ts';

/** Some 17 million a second; beyond that nothing is limited. */
const requests = { min: 1, max: 1_000_000_000 };
/** A limit in money is for hours; a budget is for months. */
const costWindow = { min: SECOND, max: 31 * 24 * HOUR };

/** Whom limits are for: budgets are for tags, too. */
export const LIMITED_KINDS = ['organisation', 'team', 'user', 'key', 'feature', 'model', 'route'] as const;

/** Each of a kind apart, as it is written in the file → as a pattern. */
export const PATTERNS: ReadonlyMap<string, string> = new Map(LIMITED_KINDS.map((kind) => [`per_${kind}`, `${kind}:*`]));

/** What a limit says, of any scope. */
export const limitTermsFields = fitting(
  section({
    requests_per_minute: integer(requests).optional(),
    tokens_per_minute: integer({ min: 1, max: 1_000_000_000_000 }).optional(),
    cost: section({ amount: cost(), per: duration(costWindow) }).optional(),
    concurrent: integer({ min: 1, max: 1_000_000 }).optional(),
    burst: integer(requests).optional(),
  }),
  ({ requests_per_minute: perMinute, tokens_per_minute: tokens, cost: money, concurrent, burst }) => {
    if (burst !== undefined && perMinute === undefined)
      return { key: 'burst', message: 'has no effect without `requests_per_minute`' };
    return [perMinute, tokens, money, concurrent].every((value) => value === undefined)
      ? { message: 'must say `requests_per_minute`, `tokens_per_minute`, `cost` or `concurrent`' }
      : undefined;
  },
);

/** By scope: `total`, `per_user` for each user apart, `"team:search"` for one team. */
export const limitsFields = named(checkLimitedScope, () => limitTermsFields);

function checkLimitedScope(name: string): void {
  if (name === 'total' || PATTERNS.has(name)) return;
  const colon = name.indexOf(':');
  if (colon < 0) {
    const isKind = LIMITED_KINDS.some((kind) => kind === name);
    const hint = isKind
      ? `\`per_${name}\` for each apart, \`"${name}:..."\` for one`
      : suggest(name, ['total', ...PATTERNS.keys()]);
    throw new InvalidValue(`unknown key \`${name}\``, hint);
  }
  const kind = name.slice(0, colon);
  if (!LIMITED_KINDS.some((known) => known === kind)) {
    const why = kind === 'tag' ? 'limits are not for tags' : `\`${kind}\` is no kind of scope`;
    throw new InvalidValue(why, kind === 'tag' ? 'budgets are' : suggest(kind, LIMITED_KINDS));
  }
  if (parseScope(name) === undefined) throw new InvalidValue('must name a scope, such as `"team:search"`');
}
