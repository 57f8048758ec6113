import type { Command } from 'commander';
import { InvalidArgumentError } from 'commander';
import type { KeySpec, MayName } from '../../services/ledger/core/check-key.ts';
import type { OverrideName, OverridesAllowed } from '../../shared/config.ts';
import { parseDuration } from '../../shared/config/duration.ts';
import { OVERRIDE_NAMES } from '../../shared/config/types.ts';
import { MAY_NAME, ROLES } from '../../shared/messages/key.ts';
import type { Role } from '../../shared/messages/key.ts';

const OVERRIDES_HELP = `what its requests may say of their own routing: all, none, or some of ${OVERRIDE_NAMES.join(', ')}`;
/** As they are written; `none`, `all` and `never` stand for what takes a part of a key away. */
export interface KeyFields {
  readonly name?: string;
  readonly team?: string;
  readonly user?: string;
  readonly organisation?: string;
  readonly role?: Role | 'none';
  readonly expires?: number | 'never';
  readonly routes?: string[] | 'all';
  readonly models?: string[] | 'all';
  readonly regions?: string[] | 'all';
  readonly networks?: string[] | 'all';
  readonly mayName?: MayName[] | 'all';
  readonly tag?: Readonly<Record<string, string>>;
  readonly logPayloads?: KeySpec['logPayloads'];
  readonly overrides?: OverridesAllowed;
}

/** What `create` says of a key, and `update` anew. */
export function withFields(command: Command): Command {
  return command
    .option('-t, --team <team>', 'the team that its usage counts for')
    .option('-u, --user <user>', 'the user that it is for')
    .option('--organisation <organisation>', "the organisation, where it is not the team's")
    .option('--role <role>', `of the admin API: ${ROLES.join(', ')}; without one it may use models, and no more`)
    .option('-e, --expires <when>', 'a time from now (90d), a date (2027-01-31), or never', expiry)
    .option('--routes <names>', 'the only routes it may ask for, with commas', names)
    .option('--models <names>', 'the only models it may ask for, with commas: gpt-4o, openai/*', names)
    .option('--regions <names>', 'the only regions that its requests may be served in', names)
    .option('--networks <networks>', 'the only networks it may be used from: 10.0.0.0/8,2001:db8::/32', names)
    .option('--tag <name=value>', 'a tag that each of its requests has; may be repeated', tag)
    .option(
      '--may-name <what>',
      `what its requests may say of themselves: all, none, or some of ${MAY_NAME.join(', ')}`,
      names,
    )
    .option('--log-payloads <policy>', 'of its requests: none, redacted or full')
    .option('-o, --overrides <names>', OVERRIDES_HELP, overrides);
}

/** What is said of a key. @param before the tags that it has */
export function specOf(fields: KeyFields, before: KeySpec['tags']): Partial<KeySpec> {
  const { team, user, organisation, role, expires, routes, models, regions, networks, mayName, tag: tags } = fields;
  const { name, logPayloads, overrides: allowed } = fields;
  const isKept = ([, value]: [string, string]): boolean => value !== '';
  const spec = {
    ...{ name, logPayloads, overrides: allowed },
    ...{ team: unless('none', team), user: unless('none', user), organisation: unless('none', organisation) },
    ...{ role: unless('none', role), expiresEpochMs: unless('never', expires) },
    ...{ routes: unless('all', routes), models: unless('all', models), regions: unless('all', regions) },
    ...{ networks: unless('all', networks), mayName: unless('all', mayName) },
    tags: tags && Object.fromEntries(Object.entries({ ...before, ...tags }).filter(isKept)),
  };
  return Object.fromEntries(Object.entries(spec).filter(([, value]) => value !== undefined));
}

/** null for the word that takes it away. */
function unless<Word extends string, Value>(word: Word, value: Value | Word | undefined): Value | null | undefined {
  return value === word ? null : (value as Value | undefined);
}

/** `all`, `none`, or names with commas. */
function overrides(text: string): OverridesAllowed {
  if (text === 'all') return text;
  if (text === 'none') return [];
  return text.split(',').map((word): OverrideName => {
    const name = OVERRIDE_NAMES.find((known) => known === word.trim());
    if (name === undefined)
      throw new InvalidArgumentError(`"${word}" is not one of all, none, ${OVERRIDE_NAMES.join(', ')}.`);
    return name;
  });
}

/** Names with commas; whether they are right is the ledger's to say. `none`: an empty list; `all`: no restriction. */
function names(text: string): string[] | 'all' {
  if (text === 'all') return text;
  return text === 'none' ? [] : text.split(',').map((name) => name.trim());
}

/** `name=value`, once for each tag; without a value: not any more. */
function tag(text: string, before: Readonly<Record<string, string>> = {}): Record<string, string> {
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

/** A time from now (`90d`), or a date → milliseconds of the Unix epoch; or `never`. */
function expiry(text: string): number | 'never' {
  if (text === 'never') return text;
  const epochMs = /^\d{4}-/.test(text) ? Date.parse(text) : Date.now() + duration(text);
  if (!Number.isFinite(epochMs))
    throw new InvalidArgumentError('It must be a time from now (90d), a date (2027-01-31) or never.');
  return epochMs;
}
