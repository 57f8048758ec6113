import {
  ALERT_PERCENT,
  DEFAULT_ALERT_AT,
  isTimeZone,
  MAX_ALERTS,
  MAX_BUDGET_NAME_CHARS,
  MAX_BUDGET_NANO_USD,
  ROLLING_MS,
} from '../../budgets.ts';
import type { OnBudgetEnd } from '../../messages/rules.ts';
import { parseUsd } from '../../money.ts';
import { parseScope, SCOPE_KINDS } from '../../scope.ts';
import { suggest } from '../errors.ts';
import {
  duration,
  field,
  fitting,
  InvalidValue,
  integer,
  list,
  secret,
  section,
  shorthand,
  text,
  url,
} from '../fields.ts';
import type { BudgetPeriodConfig } from '../types.ts';
import { checkDowngrade } from './names.ts';
import { WAIT } from './waits.ts';

const CALENDAR = ['day', 'week', 'month', 'total'] as const;
const MAX_WEBHOOKS = 16;

const scope = text((name) => {
  if (parseScope(name) !== undefined) return;
  const colon = name.indexOf(':');
  const kind = colon < 0 ? name : name.slice(0, colon);
  const isKind = SCOPE_KINDS.some((known) => known === kind);
  const hint = isKind && kind === 'tag' ? 'write `tag:name=value`' : isKind ? undefined : suggest(kind, SCOPE_KINDS);
  throw new InvalidValue(
    `must be \`total\`, or one of ${SCOPE_KINDS.slice(1).join(', ')} with an id: \`team:search\``,
    hint,
  );
});

/** `50 USD` → nano-dollars. */
const amount = field((value) => {
  if (typeof value === 'number') throw new InvalidValue('has no currency', `write "${value} USD"`);
  if (typeof value !== 'string') throw new InvalidValue('must be an amount of money, such as "50 USD"');
  const nano = parseUsd(value);
  if (nano <= BigInt(MAX_BUDGET_NANO_USD)) return Number(nano);
  throw new InvalidValue('must be at most "9000000 USD"');
});

const per = shorthand(
  field((value): BudgetPeriodConfig => {
    const found = CALENDAR.find((word) => word === value);
    if (found !== undefined) return { per: found, rollingMs: null };
    if (value === 'rolling') throw new InvalidValue('must say how long', 'write `{ rolling: 24h }`');
    const hint = typeof value === 'string' ? suggest(value, CALENDAR) : undefined;
    throw new InvalidValue(`must be one of ${CALENDAR.join(', ')}, or \`{ rolling: 24h }\``, hint);
  }),
  section({ rolling: duration(ROLLING_MS) }).transform(({ rolling }): BudgetPeriodConfig => ({
    per: 'rolling',
    rollingMs: rolling,
  })),
);

const timeZone = text((name) => {
  if (!isTimeZone(name)) throw new InvalidValue(`"${name}" is not a time zone, such as Europe/Berlin`);
});

const onLimit = shorthand(
  field((value): OnBudgetEnd => {
    if (value === 'reject' || value === 'queue') return { kind: value };
    if (value === 'downgrade') throw new InvalidValue('must name a route', 'write `{ downgrade: route }`');
    const hint = typeof value === 'string' ? suggest(value, ['reject', 'queue']) : undefined;
    throw new InvalidValue('must be reject, queue or a map with `queue` or `downgrade`', hint);
  }),
  fitting(
    section({ queue: duration(WAIT).optional(), downgrade: text(checkDowngrade).optional() }),
    ({ queue, downgrade }) => {
      if (queue !== undefined && downgrade !== undefined)
        return { key: 'downgrade', message: 'does not go with `queue`' };
      return queue === undefined && downgrade === undefined
        ? { message: 'must say `queue` or `downgrade`' }
        : undefined;
    },
  ).transform(({ queue, downgrade }): OnBudgetEnd =>
    downgrade === undefined
      ? { kind: 'queue', ...(queue !== undefined && { forMs: queue }) }
      : { kind: 'downgrade', to: downgrade },
  ),
);

const alertAt = list(integer(ALERT_PERCENT)).max(MAX_ALERTS, `must have at most ${MAX_ALERTS} thresholds`);

const name = text((given) => {
  if (given.trim() !== given || given.length > MAX_BUDGET_NAME_CHARS)
    throw new InvalidValue(`must have at most ${MAX_BUDGET_NAME_CHARS} characters, without spaces around it`);
});

const hard = field((value) => {
  // Text is what `${NAME}` gives.
  if (value === true || value === 'true') return true;
  if (value === false || value === 'false') return false;
  throw new InvalidValue('must be true or false');
});

const terms = {
  name: name.optional(),
  amount,
  per,
  time_zone: timeZone.default('UTC'),
  hard: hard.default(true),
  on_limit: onLimit.default({ kind: 'reject' }),
  alert_at: alertAt.default([...DEFAULT_ALERT_AT]),
};

export const budgetsFields = list(section({ scope, ...terms }));

/** Of a key in the file, which is its scope. */
export const keyBudgetFields = section(terms);

export const alertsFields = section({
  webhooks: list(section({ url: url(['https', 'http']), secret: secret() }))
    .max(MAX_WEBHOOKS, `must have at most ${MAX_WEBHOOKS} webhooks`)
    .default([]),
});
