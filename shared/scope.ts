/**
 * Scopes: whom a limit, a budget or a block is for. A scope is a kind and an id, written `team:search`; the whole gateway is
 * `total`. `user:*` is a pattern: each user apart.
 */
export const SCOPE_KINDS = [
  'total',
  'organisation',
  'team',
  'user',
  'key',
  'feature',
  'model',
  'route',
  'tag',
] as const;
export type ScopeKind = (typeof SCOPE_KINDS)[number];

/** `total`, or `kind:id`; the id of a tag is `name=value`. */
export type ScopeName = string;

/** Longer names are cut where they enter (read-attribution.ts), so that nothing of a client's choosing grows without bound. */
export const MAX_SCOPE_ID_CHARS = 128;
/** Of one request. */
export const MAX_TAGS = 16;

export interface Scope {
  readonly kind: ScopeKind;
  /** `''` for `total`, `*` for a pattern. */
  readonly id: string;
}

/** Whose a request is, and what it is about: what usage is told by. A `key` is known by its id. */
export interface Attribution {
  readonly organisation: string | null;
  readonly team: string | null;
  /** Whom the request is for: the one that it names, where its key's policy lets it, else the key's own. */
  readonly user: string | null;
  readonly keyId: string;
  readonly feature: string | null;
  readonly session: string | null;
  /** Name → value, at most `MAX_TAGS`. */
  readonly tags: Readonly<Record<string, string>>;
}

export function scopeName({ kind, id }: Scope): ScopeName {
  return kind === 'total' ? 'total' : `${kind}:${id}`;
}

/** undefined: it is no scope. */
export function parseScope(name: string): Scope | undefined {
  if (name === 'total') return { kind: 'total', id: '' };
  const colon = name.indexOf(':');
  const kind = SCOPE_KINDS.find((known) => known === name.slice(0, colon));
  const id = name.slice(colon + 1);
  if (colon < 0 || kind === undefined || kind === 'total' || id === '' || id.length > MAX_SCOPE_ID_CHARS)
    return undefined;
  if (kind === 'tag' && id !== '*' && !/^[^=]+=./.test(id)) return undefined;
  return { kind, id };
}

/** The pattern that a scope falls under: `user:*` of `user:ada`; the scope itself for `total`. */
export function patternOf(name: ScopeName): ScopeName {
  const colon = name.indexOf(':');
  return colon < 0 ? name : `${name.slice(0, colon)}:*`;
}

/**
 * Every scope that a request falls in, in the order of `SCOPE_KINDS` (the order in which they are always reserved), tags
 * by name.
 * @param named `model`: as the catalog knows it where it is one deployment, else as the client named it; `route`: null for
 *   a name that is no route
 */
export function scopesOf(
  { organisation, team, user, keyId, feature, tags }: Attribution,
  { model, route }: { readonly model: string; readonly route: string | null },
): ScopeName[] {
  const scopes = ['total'];
  if (organisation !== null) scopes.push(`organisation:${organisation}`);
  if (team !== null) scopes.push(`team:${team}`);
  if (user !== null) scopes.push(`user:${user}`);
  scopes.push(`key:${keyId}`);
  if (feature !== null) scopes.push(`feature:${feature}`);
  scopes.push(`model:${model}`);
  if (route !== null) scopes.push(`route:${route}`);
  for (const name of Object.keys(tags).sort()) scopes.push(`tag:${name}=${tags[name]}`);
  return scopes;
}
