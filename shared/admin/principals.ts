import { z } from 'zod';
import { ChosenId, Deleted, Name, TagMap, VERSIONED } from './fields.ts';
import { changing, listing, reading } from './operation.ts';
import { MANAGERS, READERS, TEAM_MANAGERS, WIDE_READERS } from './roles.ts';

const Email = z.email().max(256);
const Subject = z
  .string()
  .min(1)
  .max(512)
  .describe(
    'Issuer and subject at your identity provider, one text: for your own joins, the gateway does not read it.',
  );
const nameOrId = Name.optional().describe('Absent: the id.');

export const Organisation = z
  .object({ object: z.literal('organisation'), id: z.string(), name: z.string(), tags: TagMap, ...VERSIONED })
  .meta({ id: 'Organisation' });
export type Organisation = z.infer<typeof Organisation>;

export const NewOrganisation = z
  .strictObject({ id: ChosenId, name: nameOrId, tags: TagMap.optional() })
  .meta({ id: 'NewOrganisation', examples: [{ id: 'acme', name: 'Acme Ltd.' }] });

export const OrganisationChange = z
  .strictObject({ name: Name.optional(), tags: TagMap.optional() })
  .meta({ id: 'OrganisationChange', examples: [{ name: 'Acme plc' }] });

export const Team = z
  .object({
    object: z.literal('team'),
    id: z.string(),
    name: z.string(),
    organisation: z.string().nullable(),
    tags: TagMap,
    ...VERSIONED,
  })
  .meta({ id: 'Team' });
export type Team = z.infer<typeof Team>;

export const NewTeam = z
  .strictObject({ id: ChosenId, name: nameOrId, organisation: ChosenId.nullish(), tags: TagMap.optional() })
  .meta({ id: 'NewTeam', examples: [{ id: 'search', name: 'Search', organisation: 'acme' }] });

export const TeamChange = z
  .strictObject({ name: Name.optional(), organisation: ChosenId.nullish(), tags: TagMap.optional() })
  .meta({ id: 'TeamChange', examples: [{ organisation: null }] });

export const User = z
  .object({
    object: z.literal('user'),
    id: z.string(),
    name: z.string(),
    team: z.string().nullable(),
    email: z.string().nullable(),
    subject: z.string().nullable(),
    tags: TagMap,
    ...VERSIONED,
  })
  .meta({ id: 'User' });
export type User = z.infer<typeof User>;

export const UserChange = z
  .strictObject({
    name: Name.optional(),
    team: ChosenId.nullish(),
    email: Email.nullish(),
    subject: Subject.nullish(),
    tags: TagMap.optional(),
  })
  .meta({ id: 'UserChange', examples: [{ email: 'ada@example.com' }] });

export const NewUser = z
  .strictObject({ ...UserChange.shape, id: ChosenId, name: nameOrId })
  .meta({ id: 'NewUser', examples: [{ id: 'ada', name: 'Ada Lovelace', team: 'search', email: 'ada@example.com' }] });

const organisationInPath = { organisation: z.string().max(128) };
const teamInPath = { team: z.string().max(128) };
const userInPath = { user: z.string().max(128) };

export const ORGANISATION_OPERATIONS = {
  listOrganisations: listing('/organisations', {
    tag: 'Organisations',
    summary: 'List organisations',
    roles: WIDE_READERS,
    response: Organisation,
  }),
  createOrganisation: changing('POST', '/organisations', {
    tag: 'Organisations',
    summary: 'Create an organisation',
    roles: MANAGERS,
    body: NewOrganisation,
    response: Organisation,
    status: 201,
  }),
  getOrganisation: reading('/organisations/{organisation}', {
    tag: 'Organisations',
    summary: 'Read an organisation',
    roles: WIDE_READERS,
    params: organisationInPath,
    response: Organisation,
  }),
  updateOrganisation: changing('PATCH', '/organisations/{organisation}', {
    tag: 'Organisations',
    summary: 'Change an organisation',
    roles: MANAGERS,
    params: organisationInPath,
    body: OrganisationChange,
    response: Organisation,
  }),
  deleteOrganisation: changing('DELETE', '/organisations/{organisation}', {
    tag: 'Organisations',
    summary: 'Delete an organisation that no team and no live key is of',
    roles: MANAGERS,
    params: organisationInPath,
    response: Deleted,
  }),
};

export const TEAM_OPERATIONS = {
  listTeams: listing('/teams', {
    tag: 'Teams',
    summary: 'List teams',
    roles: READERS,
    query: { organisation: z.string().max(128).optional().describe('Only those of this one.') },
    response: Team,
  }),
  createTeam: changing('POST', '/teams', {
    tag: 'Teams',
    summary: 'Create a team',
    roles: MANAGERS,
    body: NewTeam,
    response: Team,
    status: 201,
  }),
  getTeam: reading('/teams/{team}', {
    tag: 'Teams',
    summary: 'Read a team',
    roles: READERS,
    params: teamInPath,
    response: Team,
  }),
  updateTeam: changing('PATCH', '/teams/{team}', {
    tag: 'Teams',
    summary: 'Change a team',
    roles: MANAGERS,
    params: teamInPath,
    body: TeamChange,
    response: Team,
  }),
  deleteTeam: changing('DELETE', '/teams/{team}', {
    tag: 'Teams',
    summary: 'Delete a team that no user and no live key is of',
    roles: MANAGERS,
    params: teamInPath,
    response: Deleted,
  }),
};

export const USER_OPERATIONS = {
  listUsers: listing('/users', {
    tag: 'Users',
    summary: 'List users',
    roles: READERS,
    query: { team: z.string().max(128).optional().describe('Only those of this one.') },
    response: User,
  }),
  createUser: changing('POST', '/users', {
    tag: 'Users',
    summary: 'Create a user',
    roles: TEAM_MANAGERS,
    body: NewUser,
    response: User,
    status: 201,
  }),
  getUser: reading('/users/{user}', {
    tag: 'Users',
    summary: 'Read a user',
    roles: READERS,
    params: userInPath,
    response: User,
  }),
  updateUser: changing('PATCH', '/users/{user}', {
    tag: 'Users',
    summary: 'Change a user',
    roles: TEAM_MANAGERS,
    params: userInPath,
    body: UserChange,
    response: User,
  }),
  deleteUser: changing('DELETE', '/users/{user}', {
    tag: 'Users',
    summary: 'Delete a user that no live key stands for',
    roles: TEAM_MANAGERS,
    params: userInPath,
    response: Deleted,
  }),
};
