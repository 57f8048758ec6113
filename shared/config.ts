/**
 * The configuration: one YAML file, the environment, defaults. Parsed once, before anything connects; the rest of the
 * code sees the typed object and trusts it.
 */
export { loadConfig } from './config/load.ts';
export type { LoadConfigOptions } from './config/load.ts';
export { redactConfig } from './config/redact.ts';
export { parseOverrides } from './config/overrides.ts';
export type { RequestOverrides } from './config/overrides.ts';
export { ConfigError, formatProblem } from './config/errors.ts';
export type { ConfigProblem } from './config/errors.ts';
export * from './config/types.ts';
