import type { IssuerConfig } from '../../../shared/config.ts';
import { GatewayError } from '../../../shared/errors.ts';
import type { Role } from '../../../shared/messages/key.ts';
import { MAX_SCOPE_ID_CHARS, MAX_TAGS } from '../../../shared/scope.ts';
import type { Caller } from '../caller.ts';

type Claims = Readonly<Record<string, unknown>>;

/**
 * Whom a token that was verified stands for. It is its user's: its requests may not name another one.
 * @throws GatewayError(`invalid_api_key`) when it names no user, or names longer than a scope may have
 */
export function callerOf(claims: Claims, { name, claims: named, roles }: IssuerConfig, expiresEpochMs: number): Caller {
  const user = textAt(claims, named.user);
  if (user === undefined) throw new GatewayError('invalid_api_key', 'The token names no user.');
  const organisation = textAt(claims, named.organisation);
  const said = named.role === undefined ? [] : [valueAt(claims, named.role)].flat();
  const held = new Set(said.flatMap((value) => (typeof value === 'string' ? (roles.get(value) ?? []) : [])));
  const role = BY_RANK.find((each) => held.has(each));
  const tags = tagsAt(claims, named.tags);
  const isAdmin = role === 'owner' || role === 'admin';
  return {
    principal: {
      ...{ keyId: `jwt:${name}`, keyName: name, team: textAt(claims, named.team) ?? null, user },
      ...(organisation !== undefined && { organisation }),
      ...(isAdmin && { isAdmin }),
    },
    policy: {
      ...{ expiresEpochMs, mayName: ['feature', 'session', 'tags'] },
      ...(role !== undefined && { role }),
      ...(Object.keys(tags).length > 0 && { tags }),
    },
  };
}

/** Who has several has the one that may do most. */
const BY_RANK: readonly Role[] = ['owner', 'admin', 'team_admin', 'viewer'];

/** A claim by its whole name, which may be a URL; else dots lead into objects. */
function valueAt(claims: Claims, name: string): unknown {
  if (Object.hasOwn(claims, name)) return claims[name];
  let value: unknown = claims;
  for (const part of name.split('.')) {
    if (typeof value !== 'object' || value === null || !Object.hasOwn(value, part)) return undefined;
    value = (value as Claims)[part];
  }
  return value;
}

/** The text of a claim, or the first of a list of them; undefined: it has none. */
function textAt(claims: Claims, name: string | undefined): string | undefined {
  if (name === undefined) return undefined;
  const [value] = [valueAt(claims, name)].flat();
  if (typeof value !== 'string' || value === '') return undefined;
  // eslint-disable-next-line no-control-regex -- control characters are what must not pass
  if (value.length <= MAX_SCOPE_ID_CHARS && !/[\u0000-\u001f\u007f]/.test(value)) return value;
  throw new GatewayError('invalid_api_key', `The token's claim ${name} is too long, or has control characters.`);
}

/** Of an object of texts; what is no tag is left out. */
function tagsAt(claims: Claims, name: string | undefined): Record<string, string> {
  const value = name === undefined ? undefined : valueAt(claims, name);
  if (typeof value !== 'object' || value === null) return {};
  const tags = Object.entries(value).filter(
    (tag): tag is [string, string] =>
      typeof tag[1] === 'string' &&
      /^[^=\s]+=[^\r\n]+$/.test(tag.join('=')) &&
      tag.join('=').length <= MAX_SCOPE_ID_CHARS,
  );
  return Object.fromEntries(tags.slice(0, MAX_TAGS));
}
