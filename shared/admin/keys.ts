import { z } from 'zod';
import { OVERRIDE_NAMES } from '../config/types.ts';
import { MAY_NAME, ROLES } from '../messages/key.ts';
import { ChosenId, Duration, Entries, Name, TagMap, Timestamp, VERSIONED } from './fields.ts';
import { changing, listing, reading } from './operation.ts';
import { READERS, TEAM_MANAGERS } from './roles.ts';

const restriction = Entries.nullish();

/** What may be said of a key, each field by itself. Lists: null is no restriction, an empty one lets nothing pass. */
const KEY_FIELDS = {
  team: ChosenId.nullish(),
  user: ChosenId.nullish().describe('Whom its requests are for.'),
  organisation: ChosenId.nullish(),
  role: z.enum(ROLES).nullish().describe('In this API; null: it may use models, and no more.'),
  overrides: z
    .union([z.literal('all'), z.array(z.enum(OVERRIDE_NAMES)).max(OVERRIDE_NAMES.length)], {
      error: `It must be "all", or a list of ${OVERRIDE_NAMES.join(', ')}.`,
    })
    .optional()
    .describe('What its requests may say of their own routing.'),
  expires_at: Timestamp.nullish(),
  routes: restriction.describe('As soon as routes or models are named, only these may be asked for.'),
  models: restriction.describe('As clients send them, or `provider/*`.'),
  regions: restriction,
  networks: restriction.describe('Where its requests may come from: CIDR, as `10.0.0.0/8`.'),
  may_name: z
    .array(z.enum(MAY_NAME))
    .max(MAY_NAME.length)
    .nullish()
    .describe('What its requests may say of themselves.'),
  tags: TagMap.optional(),
  log_payloads: z.enum(['none', 'redacted', 'full']).optional(),
};

export const Key = z
  .object({
    object: z.literal('key'),
    id: z.string(),
    name: z.string(),
    prefix: z.string().describe('How its token begins.'),
    status: z.enum(['live', 'blocked', 'expired', 'revoked']),
    team: z.string().nullable(),
    user: z.string().nullable(),
    organisation: z.string().nullable(),
    role: z.enum(ROLES).nullable(),
    overrides: z.union([z.literal('all'), z.array(z.string())]),
    routes: z.array(z.string()).nullable(),
    models: z.array(z.string()).nullable(),
    regions: z.array(z.string()).nullable(),
    networks: z.array(z.string()).nullable(),
    may_name: z.array(z.string()).nullable(),
    tags: TagMap,
    log_payloads: z.enum(['none', 'redacted', 'full']),
    expires_at: Timestamp.nullable(),
    blocked_at: Timestamp.nullable(),
    revoked_at: Timestamp.nullable(),
    old_token_until: Timestamp.nullable().describe('Until when the token before the last rotation works.'),
    ...VERSIONED,
  })
  .meta({ id: 'Key' });
export type Key = z.infer<typeof Key>;

export const KeyWithToken = z
  .object({
    ...Key.shape,
    token: z.string().optional().describe('Shown this once; the answer to a repeated request is without it.'),
  })
  .meta({ id: 'KeyWithToken' });
export type KeyWithToken = z.infer<typeof KeyWithToken>;

export const KeyChange = z
  .strictObject({ name: Name.optional(), ...KEY_FIELDS })
  .meta({ id: 'KeyChange', examples: [{ models: ['openai/*'], expires_at: '2027-01-31T00:00:00Z' }] });
export type KeyChange = z.infer<typeof KeyChange>;

export const NewKey = z
  .strictObject({ name: Name, ...KEY_FIELDS })
  .meta({ id: 'NewKey', examples: [{ name: 'search-prod', team: 'search', tags: { env: 'prod' } }] });

export const Rotation = z
  .strictObject({
    overlap: Duration.optional().describe('How long the old token works on; absent: not at all. Up to 92 days.'),
  })
  .meta({ id: 'Rotation', examples: [{ overlap: '24h' }] });

const tag = 'Keys';
const params = { key: z.string().max(128).describe('Its id.') };
const filter = z.string().max(128).optional();

export const KEY_OPERATIONS = {
  listKeys: listing('/keys', {
    tag,
    summary: 'List keys, the revoked ones too, oldest first',
    roles: READERS,
    query: { team: filter, user: filter, organisation: filter },
    response: Key,
  }),
  createKey: changing('POST', '/keys', {
    tag,
    summary: 'Create a key; its token is shown once',
    roles: TEAM_MANAGERS,
    body: NewKey,
    response: KeyWithToken,
    status: 201,
    secrets: ['token'],
  }),
  getKey: reading('/keys/{key}', { tag, summary: 'Read a key', roles: READERS, params, response: Key }),
  updateKey: changing('PATCH', '/keys/{key}', {
    tag,
    summary: 'Change a key',
    roles: TEAM_MANAGERS,
    params,
    body: KeyChange,
    response: Key,
  }),
  rotateKey: changing('POST', '/keys/{key}/rotate', {
    tag,
    summary: 'Give a key a new token, which is shown once; the old one may work on for a while',
    roles: TEAM_MANAGERS,
    params,
    body: Rotation,
    response: KeyWithToken,
    secrets: ['token'],
  }),
  blockKey: changing('POST', '/keys/{key}/block', {
    tag,
    summary: 'Switch a key off, until it is unblocked',
    roles: TEAM_MANAGERS,
    params,
    response: Key,
  }),
  unblockKey: changing('POST', '/keys/{key}/unblock', {
    tag,
    summary: 'Switch a blocked key on again',
    roles: TEAM_MANAGERS,
    params,
    response: Key,
  }),
  revokeKey: changing('DELETE', '/keys/{key}', {
    tag,
    summary: 'End a key for ever; it stays in the list',
    roles: TEAM_MANAGERS,
    params,
    response: Key,
  }),
};
