import { isUtf8 } from 'node:buffer';
import { GatewayError } from '../../../shared/errors.ts';
import type { Principal } from '../../../shared/messages/envelope.ts';
import type { KeyPolicy } from '../../../shared/messages/key.ts';
import type { Attribution } from '../../../shared/scope.ts';
import { MAX_SCOPE_ID_CHARS, MAX_TAGS } from '../../../shared/scope.ts';
import type { RequestHeaders } from './read-overrides.ts';

/** Half of a tag's `name=value`, which is a scope's id. */
const MAX_TAG_NAME_CHARS = 64;
/** A header of JSON may be as long as all headers together; of more members than this nothing is taken. */
const MAX_MEMBERS = 64;
/** Portkey's metadata names the user by this. */
const PORTKEY_USER = '_user';

/** What a request says of itself. */
type Part = NonNullable<KeyPolicy['mayName']>[number];

/** By the names of this gateway, then by those of others; the first that is there counts. */
const USER_HEADERS = ['x-sluice-user', 'helicone-user-id', 'x-litellm-customer-id', 'x-litellm-end-user-id'];
const FEATURE_HEADERS = ['x-sluice-feature'];
const SESSION_HEADERS = ['x-sluice-session', 'helicone-session-id'];
const TAG_PREFIXES = ['x-sluice-property-', 'helicone-property-'];
/** `a,team:b`: a name with its value, or a name alone. */
const LIST_HEADERS = ['x-litellm-tags'];
/** A JSON object. */
const JSON_HEADERS = ['x-portkey-metadata', 'cf-aig-metadata'];

/** Of a parsed body. */
export interface SaidInBody {
  /** `safety_identifier`, else `user`. */
  readonly endUser: string | undefined;
  readonly metadata: unknown;
}

/** Whose key it is, and what that key lets its requests say. */
export interface Speaker {
  readonly principal: Principal;
  readonly policy: Pick<KeyPolicy, 'mayName' | 'tags'>;
}

type Tags = Map<string, string>;

/**
 * Whose a request is, and what it is about: what it says in headers, else in its body, else what its key stands for. A
 * key's own tags go before what a request says. Long names are cut. What the key does not let it say is refused in a
 * header, and passed over in a body, where OpenAI's own fields mean other things, too.
 * @throws GatewayError(`attribution_not_allowed`, `invalid_request`) that names the header or field
 */
export function readAttribution(
  body: SaidInBody,
  headers: RequestHeaders,
  { principal, policy }: Speaker,
): Attribution {
  const { organisation = null, team, keyId } = principal;
  const may = (part: Part): boolean => policy.mayName?.includes(part) ?? true;
  const tags: Tags = new Map(Object.entries(policy.tags ?? {}));
  const jsonUser = readTags(tags, headers, may);
  if (may('tags')) addMetadata(tags, body.metadata);
  const said = headerOf(USER_HEADERS, 'user', headers, may) ?? allowed(jsonUser, 'user', 'x-portkey-metadata', may);
  const user = said ?? (may('user') ? endUserOf(body) : undefined) ?? principal.user ?? null;
  return {
    ...{ organisation, team, user, keyId },
    feature: headerOf(FEATURE_HEADERS, 'feature', headers, may) ?? null,
    session: headerOf(SESSION_HEADERS, 'session', headers, may) ?? null,
    tags: tags.size === 0 ? NO_TAGS : Object.fromEntries(tags),
  };
}

const NO_TAGS: Attribution['tags'] = {};

/** The user that JSON metadata names, if it does. */
function readTags(tags: Tags, headers: RequestHeaders, may: (part: Part) => boolean): string | undefined {
  let user: string | undefined;
  for (const header in headers) {
    // Nearly every header is none of these; their first letters tell.
    const first = header.charCodeAt(0);
    if (first !== X && first !== H && first !== C) continue;
    const text = textOf(headers[header]);
    if (text === undefined) continue;
    const prefix = TAG_PREFIXES.find((known) => header.startsWith(known));
    if (prefix !== undefined) {
      addSaidTag(tags, header.slice(prefix.length), text, header, may);
    } else if (LIST_HEADERS.includes(header)) {
      for (const item of text.split(',', MAX_MEMBERS)) addListed(tags, item.trim(), header, may);
    } else if (JSON_HEADERS.includes(header)) {
      for (const [name, value] of membersOf(text, header)) {
        if (name === PORTKEY_USER) user = value;
        else addSaidTag(tags, name, value, header, may);
      }
    }
  }
  return user;
}

const [X, H, C] = ['x', 'h', 'c'].map((letter) => letter.charCodeAt(0));

/** `name:value` as LiteLLM's users write them; a name alone is true. */
function addListed(tags: Tags, item: string, header: string, may: (part: Part) => boolean): void {
  if (item === '') return;
  const colon = item.indexOf(':');
  const [name, value] = colon < 0 ? [item, 'true'] : [item.slice(0, colon), item.slice(colon + 1)];
  addSaidTag(tags, name, value, header, may);
}

function addSaidTag(tags: Tags, name: string, value: string, header: string, may: (part: Part) => boolean): void {
  refuseUnless(may, 'tags', header);
  if (!isTagName(name) || value === '' || hasControl(value)) throw unreadable(header, 'is no tag');
  if (addTag(tags, name, value)) return;
  throw unreadable(header, `is one tag too many: a request has ${MAX_TAGS} at most, its key’s own with them`);
}

/** OpenAI's field, for whatever its users keep there: what can be no tag is none, and what is too much is left. */
function addMetadata(tags: Tags, metadata: unknown): void {
  if (typeof metadata !== 'object' || metadata === null || Array.isArray(metadata)) return;
  let members = 0;
  for (const name in metadata) {
    if (++members > MAX_MEMBERS) return;
    const value = plainText((metadata as Record<string, unknown>)[name]);
    if (value !== undefined && value !== '' && isTagName(name) && !hasControl(value)) addTag(tags, name, value);
  }
}

/** The first to say a tag says it. False: there are as many as there may be. */
function addTag(tags: Tags, name: string, value: string): boolean {
  const shortName = cut(name, MAX_TAG_NAME_CHARS);
  if (tags.has(shortName)) return true;
  if (tags.size >= MAX_TAGS) return false;
  tags.set(shortName, cut(value, MAX_SCOPE_ID_CHARS - shortName.length - 1));
  return true;
}

function membersOf(text: string, header: string): Array<readonly [name: string, value: string]> {
  let read: unknown;
  try {
    read = JSON.parse(text);
  } catch {
    throw unreadable(header, 'must be a JSON object');
  }
  if (typeof read !== 'object' || read === null || Array.isArray(read))
    throw unreadable(header, 'must be a JSON object');
  const members = Object.entries(read);
  if (members.length > MAX_MEMBERS) throw unreadable(header, `has more than ${MAX_MEMBERS} members`);
  return members.flatMap(([name, value]) => {
    const said = plainText(value);
    return said === undefined || said === '' ? [] : [[name, said] as const];
  });
}

function plainText(value: unknown): string | undefined {
  if (typeof value === 'string') return value;
  return typeof value === 'number' || typeof value === 'boolean' ? String(value) : undefined;
}

function endUserOf({ endUser }: SaidInBody): string | undefined {
  return endUser === undefined ? undefined : checkedId(endUser, 'user');
}

/** node reads headers as Latin-1; what is UTF-8 was meant so. undefined: it says nothing. */
function textOf(header: string | string[] | undefined): string | undefined {
  if (typeof header !== 'string' || header === '') return undefined;
  if (!/[\x80-\xff]/.test(header)) return header;
  const bytes = Buffer.from(header, 'latin1');
  return isUtf8(bytes) ? bytes.toString('utf8') : header;
}

/** The first of these headers that says anything. */
function headerOf(
  names: readonly string[],
  part: Part,
  headers: RequestHeaders,
  may: (part: Part) => boolean,
): string | undefined {
  for (const name of names) {
    const text = textOf(headers[name]);
    if (text !== undefined) return allowed(text, part, name, may);
  }
  return undefined;
}

function allowed(
  text: string | undefined,
  part: Part,
  header: string,
  may: (part: Part) => boolean,
): string | undefined {
  if (text === undefined) return undefined;
  refuseUnless(may, part, header);
  return checkedId(text, header);
}

function refuseUnless(may: (part: Part) => boolean, part: Part, header: string): void {
  if (may(part)) return;
  const what = part === 'tags' ? 'tags' : `a ${part}`;
  throw new GatewayError('attribution_not_allowed', `This key’s requests may not name ${what}.`, { param: header });
}

/** `*` is everybody (shared/scope.ts), and nobody's name. */
function checkedId(text: string, param: string): string {
  if (text === '*' || hasControl(text))
    throw unreadable(param, 'must be a name without control characters, and not `*`');
  return cut(text, MAX_SCOPE_ID_CHARS);
}

/** Its scope is `tag:name=value`. */
function isTagName(name: string): boolean {
  return name !== '' && name !== '*' && !name.includes('=') && !hasControl(name);
}

/** Also halves of characters, which a database's text cannot hold either. */
function hasControl(text: string): boolean {
  return /\p{Cc}/u.test(text) || !text.isWellFormed();
}

/** At the end of a character. */
function cut(text: string, maxChars: number): string {
  if (text.length <= maxChars) return text;
  const short = text.slice(0, maxChars);
  return short.isWellFormed() ? short : short.slice(0, -1);
}

function unreadable(param: string, why: string): GatewayError {
  return new GatewayError('invalid_request', `\`${param.slice(0, MAX_SCOPE_ID_CHARS)}\` ${why}.`, { param });
}
