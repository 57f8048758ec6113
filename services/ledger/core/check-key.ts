import type { OverrideName, OverridesAllowed } from '../../../shared/config/types.ts';
import { OVERRIDE_NAMES } from '../../../shared/config/types.ts';
import { GatewayError } from '../../../shared/errors.ts';
import type { KeyPolicy, Role } from '../../../shared/messages/key.ts';
import { MAY_NAME, ROLES } from '../../../shared/messages/key.ts';
import { parseNetwork } from '../../../shared/networks.ts';
import { MAX_SCOPE_ID_CHARS, MAX_TAGS } from '../../../shared/scope.ts';

/** As `Principal` has them. */
const MAX_NAME = 256;
const MAX_ITEMS = 256;
/** 9999-12-31: what is later is no date of Postgres' client any more. */
const LAST_EPOCH_MS = 253_402_214_400_000;

/** What may be said of a key, and said anew. Lists: null is no restriction, an empty one lets nothing pass. */
export interface KeySpec {
  readonly name: string;
  /** Ids; an organisation, team or user that nobody has heard of is made, under its id as its name. */
  readonly team: string | null;
  readonly user: string | null;
  readonly organisation: string | null;
  /** Of the admin API; null: a caller, who may use models and no more. */
  readonly role: Role | null;
  /** What its requests may say of their own routing. */
  readonly overrides: OverridesAllowed;
  /** null: never. */
  readonly expiresEpochMs: number | null;
  /** As soon as routes or models are named, only these may be asked for. */
  readonly routes: readonly string[] | null;
  /** As clients send them, or `provider/*`. */
  readonly models: readonly string[] | null;
  readonly regions: readonly string[] | null;
  /** CIDR. */
  readonly networks: readonly string[] | null;
  /** What its requests may say of themselves; null: all of it. */
  readonly mayName: readonly MayName[] | null;
  readonly tags: Readonly<Record<string, string>>;
  readonly logPayloads: NonNullable<KeyPolicy['logPayloads']>;
}

export type MayName = (typeof MAY_NAME)[number];

/** @throws GatewayError(`invalid_request`) whose `param` is the field at fault */
export function checkKey(spec: Partial<KeySpec>): void {
  const { name, team, user, organisation, role, overrides, expiresEpochMs, tags, logPayloads } = spec;
  if (name !== undefined) checkName(name);
  checkId('team', team);
  checkId('user', user);
  checkId('organisation', organisation);
  if (role != null && !ROLES.includes(role)) refuse('role', `The role must be one of ${ROLES.join(', ')}.`);
  if (overrides !== undefined && overrides !== 'all') checkOverrides(overrides);
  if (expiresEpochMs != null && !(Number.isInteger(expiresEpochMs) && Math.abs(expiresEpochMs) <= LAST_EPOCH_MS))
    refuse('expires', 'That is no time at which a key can expire.');
  checkList('routes', spec.routes, (route) => isName(route) && !/[/,]/.test(route), 'name of a route');
  checkList('models', spec.models, (model) => isName(model) && !/[,*]/.test(model.replace(/\/\*$/, '/')), 'model');
  checkList('regions', spec.regions, (region) => isName(region) && !region.includes(','), 'region');
  checkList('networks', spec.networks, (network) => parseNetwork(network) !== undefined, 'network (10.0.0.0/8)');
  checkList('may_name', spec.mayName, (word) => MAY_NAME.some((known) => known === word), MAY_NAME.join(' or '));
  if (tags !== undefined) checkTags(tags);
  if (logPayloads !== undefined && !['none', 'redacted', 'full'].includes(logPayloads))
    refuse('log_payloads', 'The log policy must be one of none, redacted, full.');
}

function checkName(text: string): void {
  // eslint-disable-next-line no-control-regex -- control characters are what must not pass
  if (text.trim() === text && text !== '' && text.length <= MAX_NAME && !/[\u0000-\u001f\u007f]/.test(text)) return;
  refuse('name', `A key's name has 1 to ${MAX_NAME} characters, without control characters or spaces around it.`);
}

/** As the tables of organisations, teams and users have it. */
function checkId(param: 'team' | 'user' | 'organisation', id: string | null | undefined): void {
  if (id == null || /^[A-Za-z0-9][A-Za-z0-9._@-]{0,127}$/.test(id)) return;
  refuse(param, `The id of a key's ${param} has 1 to 128 letters, digits and . _ @ -, a letter or digit first.`);
}

function checkOverrides(names: readonly OverrideName[]): void {
  const known: readonly string[] = OVERRIDE_NAMES;
  const unknown = names.find((name) => !known.includes(name));
  if (unknown !== undefined)
    refuse('overrides', `"${unknown.slice(0, 64)}" is no override. There are: ${OVERRIDE_NAMES.join(', ')}.`);
}

function isName(text: string): boolean {
  return text !== '' && text.length <= MAX_NAME && !/\s/.test(text);
}

function checkList(
  param: string,
  list: readonly string[] | null | undefined,
  isRight: (item: string) => boolean,
  what: string,
): void {
  if (list == null) return;
  if (list.length > MAX_ITEMS) refuse(param, `A key has ${MAX_ITEMS} ${param} at most.`);
  const wrong = list.find((item) => !isRight(item));
  if (wrong !== undefined) refuse(param, `"${wrong.slice(0, 64)}" is no ${what}.`);
}

function checkTags(tags: Readonly<Record<string, string>>): void {
  const entries = Object.entries(tags);
  if (entries.length > MAX_TAGS) refuse('tags', `A key has ${MAX_TAGS} tags at most.`);
  const wrong = entries.find(
    ([name, value]) =>
      !/^[^=\s]+$/.test(name) || value === '' || `${name}=${value}`.length > MAX_SCOPE_ID_CHARS || /[\r\n]/.test(value),
  );
  if (wrong === undefined) return;
  const rule = `a name without = and spaces, and a value on one line, ${MAX_SCOPE_ID_CHARS - 1} characters together`;
  refuse('tags', `"${wrong[0].slice(0, 64)}" is no tag: ${rule}.`);
}

function refuse(param: string, message: string): never {
  throw new GatewayError('invalid_request', message, { param });
}
