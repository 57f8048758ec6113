import { choice, fitting, integer, list, named, section, share, shorthand, text } from '../fields.ts';
import { DEFAULT_COMPLEXITY, TIERS } from '../types.ts';
import { limitTermsFields } from './limits.ts';
import { checkDowngrade, checkPlainName, checkRouteName, checkTarget, checkVariantName } from './names.ts';
import { policyShape } from './policy.ts';

const weight = integer({ min: 1, max: 1_000_000 }).default(1);

/** `provider/model`, or a map with more to say. */
const reference = text(checkTarget);
const targetFields = shorthand(
  reference.transform((model) => ({ model, weight: 1, tier: undefined })),
  section({ model: reference, weight, tier: choice(TIERS).optional() }),
);
const targets = list(targetFields).min(1, 'must name at least one target');
const fallbacks = list(
  shorthand(
    reference.transform((model) => ({ model })),
    section({ model: reference }),
  ),
);

const complexityFields = fitting(
  section({
    medium: share().default(DEFAULT_COMPLEXITY.medium),
    complex: share().default(DEFAULT_COMPLEXITY.complex),
    teams: named(
      () => undefined,
      () => choice(TIERS),
    ).prefault({}),
  }),
  ({ medium, complex }) => (medium < complex ? undefined : { key: 'medium', message: 'must be less than `complex`' }),
);

const routeFields = section(
  {
    targets: targets.optional(),
    variants: named(checkVariantName, () => section({ weight, targets })).optional(),
    ...policyShape(checkDowngrade),
    fallbacks: fallbacks.default([]),
    complexity: complexityFields.prefault({}),
    limits: limitTermsFields.optional(),
  },
  ['cache', 'guardrails'],
);

export const routesFields = named(checkRouteName, () => routeFields);

export const routersFields = named(checkPlainName('router'), () =>
  section({
    ...policyShape(checkDowngrade),
    fallbacks: fallbacks.optional(),
    routes: routesFields.prefault({}),
  }),
);
