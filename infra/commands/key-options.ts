import { InvalidArgumentError } from 'commander';
import type { OverrideName, OverridesAllowed } from '../../shared/config.ts';
import { parseDuration } from '../../shared/config/duration.ts';
import { OVERRIDE_NAMES } from '../../shared/config/types.ts';

/** `all`, `none`, or names with commas. */
export function overrides(text: string): OverridesAllowed {
  if (text === 'all') return text;
  if (text === 'none') return [];
  return text.split(',').map((word): OverrideName => {
    const name = OVERRIDE_NAMES.find((known) => known === word.trim());
    if (name === undefined)
      throw new InvalidArgumentError(`"${word}" is not one of all, none, ${OVERRIDE_NAMES.join(', ')}.`);
    return name;
  });
}

/** Names with commas; whether they are right is the ledger's to say. `none`: an empty list. */
export function names(text: string): string[] {
  return text === 'none' ? [] : text.split(',').map((name) => name.trim());
}

/** `name=value`, once for each tag. */
export function tag(text: string, before: Readonly<Record<string, string>> = {}): Record<string, string> {
  const at = text.indexOf('=');
  if (at < 1) throw new InvalidArgumentError('It must be written as name=value.');
  return { ...before, [text.slice(0, at)]: text.slice(at + 1) };
}

/** Milliseconds. */
export function duration(text: string): number {
  try {
    return parseDuration(text);
  } catch {
    throw new InvalidArgumentError('It must be a duration such as 0s, 30m, 24h or 7d.');
  }
}

/** A time from now (`90d`), or a date → milliseconds of the Unix epoch. */
export function expiry(text: string): number {
  const epochMs = /^\d{4}-/.test(text) ? Date.parse(text) : Date.now() + duration(text);
  if (!Number.isFinite(epochMs))
    throw new InvalidArgumentError('It must be a time from now (90d) or a date (2027-01-31).');
  return epochMs;
}
