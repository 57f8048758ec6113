import type { z } from 'zod';
import { suggest } from '../errors.ts';
import {
  InvalidValue,
  choice,
  cost,
  duration,
  field,
  fitting,
  integer,
  list,
  off,
  section,
  share,
  shorthand,
  text,
  wordOrDuration,
} from '../fields.ts';
import { NO_HEDGE, STRATEGIES } from '../types.ts';
import type { HedgeConfig, OnLimit, OnLimitEnd, PolicyOverrides } from '../types.ts';
import { checkRegion } from './names.ts';
import { WAIT } from './waits.ts';

/** One request in twenty: enough for the slowest 5 % of first tokens, which is what `after: p95` waits for. */
const HEDGE_SHARE = 0.05;

/** An attempt costs the provider's time even when it fails; nobody gains by a ninth. */
const MOST_ATTEMPTS = 8;

/**
 * What may be said of a policy, by routes, routers and requests alike; what is not said has no value.
 * @param checkName throws for a name that nothing may be downgraded to
 */
export function policyShape(checkName: (name: string) => void) {
  return {
    strategy: choice(STRATEGIES).optional(),
    regions: list(text(checkRegion)).min(1, 'must name at least one region').optional(),
    timeout: duration(WAIT).optional(),
    on_limit: onLimitFields(checkName).optional(),
    on_stream_break: choice(['error', 'continue']).optional(),
    on_content_filter: choice(['error', 'fallback']).optional(),
    hedge: hedgeFields.optional(),
    max_attempts: integer({ min: 1, max: MOST_ATTEMPTS }).optional(),
    max_cost: cost().optional(),
  };
}

type PolicyFields = {
  readonly [Key in keyof ReturnType<typeof policyShape>]?: z.output<ReturnType<typeof policyShape>[Key]>;
};

/** What is said in a file or a request, by the names of the code. */
export function saidOf(fields: PolicyFields): Omit<PolicyOverrides, 'fallbacks'> {
  const { strategy, regions, timeout: timeoutMs, on_limit: onLimit, hedge } = fields;
  const { on_stream_break: onStreamBreak, on_content_filter: onContentFilter } = fields;
  const { max_attempts: maxAttempts, max_cost: maxCostNanoUsd } = fields;
  return {
    ...(strategy !== undefined && { strategy }),
    ...(regions !== undefined && { regions }),
    ...(timeoutMs !== undefined && { timeoutMs }),
    ...(onLimit !== undefined && { onLimit }),
    ...(onStreamBreak !== undefined && { onStreamBreak }),
    ...(onContentFilter !== undefined && { onContentFilter }),
    ...(hedge !== undefined && { hedge }),
    ...(maxAttempts !== undefined && { maxAttempts }),
    ...(maxCostNanoUsd !== undefined && { maxCostNanoUsd }),
  };
}

const REJECT: OnLimitEnd = { kind: 'reject' };

function onLimitFields(checkName: (name: string) => void) {
  const end = shorthand(
    onLimitWord(['reject'], '`downgrade`').transform(() => REJECT),
    section({ downgrade: text(checkName) }).transform(({ downgrade }) => downgradeTo(downgrade)),
  );
  const parts = section({
    queue: duration(WAIT).optional(),
    then: end.optional(),
    downgrade: text(checkName).optional(),
  });
  const fitted = fitting(parts, ({ queue, then, downgrade }) => {
    if (downgrade !== undefined && queue !== undefined)
      return { key: 'downgrade', message: 'does not go with `queue`', hint: 'write it below `then`' };
    if (then !== undefined && queue === undefined) return { key: 'then', message: 'has no effect without `queue`' };
    return queue === undefined && downgrade === undefined ? { message: 'must say `queue` or `downgrade`' } : undefined;
  });
  return shorthand(
    onLimitWord(['reject', 'queue'], '`queue` or `downgrade`').transform((word): OnLimit =>
      word === 'queue' ? { kind: 'queue', forMs: undefined, then: REJECT } : REJECT,
    ),
    fitted.transform(({ queue, then = REJECT, downgrade }): OnLimit =>
      downgrade === undefined ? { kind: 'queue', forMs: queue, then } : downgradeTo(downgrade),
    ),
  );
}

function downgradeTo(to: string): OnLimitEnd {
  return { kind: 'downgrade', to };
}

function onLimitWord<const Word extends string>(words: readonly Word[], others: string) {
  return field((value): Word => {
    const found = words.find((word) => word === value);
    if (found !== undefined) return found;
    if (value === 'downgrade') throw new InvalidValue('must name a route', 'write `{ downgrade: route }`');
    const hint = typeof value === 'string' ? suggest(value, words) : undefined;
    throw new InvalidValue(`must be ${words.join(', ')} or a map with ${others}`, hint);
  });
}

const hedgeFields = shorthand(
  off().transform(() => NO_HEDGE),
  section({ after: wordOrDuration('p95', WAIT).default('p95'), share: share().default(HEDGE_SHARE) }).transform(
    ({ after: afterMs, share: ofRequests }): HedgeConfig => ({ afterMs, share: ofRequests }),
  ),
);
