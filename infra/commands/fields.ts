import { InvalidArgumentError } from 'commander';
import type { FieldOption } from './entity-commands.ts';

/** `--tag env=prod`, once for each. */
export const TAGS: FieldOption = {
  flags: '-t, --tags <name=value>',
  help: 'a tag; again for another one; all of them replace those that there are',
  field: 'tags',
  read: (text, before) => {
    const at = text.indexOf('=');
    if (at < 1 || at === text.length - 1) throw new InvalidArgumentError('It must be a name and a value, as env=prod.');
    return { ...(before as Record<string, string> | undefined), [text.slice(0, at)]: text.slice(at + 1) };
  },
};

/** `50,80,100` */
export function wholeNumbers(text: string): number[] {
  return text.split(',').map((word) => wholeNumber(word.trim()));
}

export function wholeNumber(text: string): number {
  if (!/^\d{1,15}$/.test(text)) throw new InvalidArgumentError(`"${text}" is not a whole number.`);
  return Number(text);
}

/** A whole number, or the word that takes away what is there. */
export function wholeNumberOrNone(text: string): number | 'none' {
  return text === 'none' ? text : wholeNumber(text);
}

/** `50 USD`, `50USD` or `50` → `50 USD`. Dollars are what there is. */
export function amount(text: string): string {
  const match = /^(\d+(?:\.\d+)?) *(?:USD)?$/.exec(text.trim());
  if (match?.[1] === undefined) throw new InvalidArgumentError('It must be an amount of money, such as "12.50 USD".');
  return `${match[1]} USD`;
}

/** A moment of ISO 8601, or a time from now: `24h`, `7d`. */
export function moment(now: () => number, parseDuration: (text: string) => number): (text: string) => string {
  return (text) => {
    const epochMs = /^\d{4}-\d\d-\d\d/.test(text) ? Date.parse(text) : now() + durationOf(text, parseDuration);
    if (!Number.isFinite(epochMs))
      throw new InvalidArgumentError('It must be a date (2026-12-01T00:00:00Z) or a time from now (24h, 7d).');
    return new Date(epochMs).toISOString();
  };
}

function durationOf(text: string, parseDuration: (text: string) => number): number {
  try {
    return parseDuration(text);
  } catch {
    return Number.NaN;
  }
}
