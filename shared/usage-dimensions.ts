/** What usage can be told by, besides tags and times. The order is that of the help. */
export const USAGE_DIMENSIONS = [
  'key',
  'model',
  'team',
  'user',
  'organisation',
  'feature',
  'route',
  'deployment',
  'provider',
  'endpoint',
  'lane',
  'variant',
  'reason',
  'error',
] as const;
export type PlainDimension = (typeof USAGE_DIMENSIONS)[number];
