import type { ConfigPath } from './errors.ts';
import { isRecord } from './fields.ts';

/** What a check of the raw file has found wrong; its line is found later, by its path. */
export interface Finding {
  readonly path: ConfigPath;
  readonly message: string;
  readonly hint?: string | undefined;
}

/** The entries of a map whose values are maps; what is none is taken for an empty one, and complained of elsewhere. */
export function entriesOf(map: Record<string, unknown>): [name: string, value: Record<string, unknown>][] {
  return Object.entries(map).map(([name, value]) => [name, isRecord(value) ? value : {}]);
}

/** As good as not given. */
export function isBlank(value: unknown): boolean {
  return value === undefined || value === null || value === '';
}
