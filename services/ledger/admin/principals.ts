import type { ORGANISATION_OPERATIONS, TEAM_OPERATIONS, USER_OPERATIONS } from '../../../shared/admin/principals.ts';
import type { Organisation, Team, User } from '../../../shared/admin/principals.ts';
import { GatewayError } from '../../../shared/errors.ts';
import { reaches } from '../core/reach.ts';
import type { Reach } from '../core/reach.ts';
import type { OrganisationRow, TeamRow, UserRow } from '../principals/principals.ts';
import {
  createOrganisation,
  createTeam,
  createUser,
  deleteOrganisation,
  deleteTeam,
  deleteUser,
  getOrganisation,
  getTeam,
  getUser,
  listOrganisations,
  listTeams,
  listUsers,
  updateOrganisation,
  updateTeam,
  updateUser,
} from '../principals/principals.ts';
import type { Database } from '../database/schema.ts';
import { found } from './found.ts';
import type { Handlers } from './handler.ts';
import { pageOf, readCursor } from './page.ts';

type Operations = typeof ORGANISATION_OPERATIONS & typeof TEAM_OPERATIONS & typeof USER_OPERATIONS;

export const PRINCIPAL_HANDLERS: Handlers<Operations> = {
  listOrganisations: async (db, { query: { limit, after } }) => {
    const rows = await listOrganisations(db, { limit: limit + 1, after: readCursor(after) });
    return { body: pageOf(rows, limit, organisationOf, idOf) };
  },
  createOrganisation: async (transaction, { body }) => {
    const made = await createOrganisation(transaction, body);
    return changed('organisation', null, made, organisationOf);
  },
  getOrganisation: async (db, { params }) => {
    const row = found('organisation', params.organisation, await getOrganisation(db, params.organisation));
    return { body: organisationOf(row), version: row.version };
  },
  updateOrganisation: async (transaction, { params, body, expects }) => {
    const before = found('organisation', params.organisation, await getOrganisation(transaction, params.organisation));
    expects(before.version);
    const after = found('organisation', before.id, await updateOrganisation(transaction, before.id, body));
    return changed('organisation', before, after, organisationOf);
  },
  deleteOrganisation: async (transaction, { params, expects }) => {
    const before = found('organisation', params.organisation, await getOrganisation(transaction, params.organisation));
    expects(before.version);
    await deleteOrganisation(transaction, before.id);
    return deleted('organisation', before, organisationOf);
  },

  listTeams: async (db, { query: { limit, after, organisation }, reach }) => {
    const only = { organisation, ...(reach.kind === 'team' && { id: reach.team }) };
    const rows = await listTeams(db, only, { limit: limit + 1, after: readCursor(after) });
    return { body: pageOf(rows, limit, teamOf, idOf) };
  },
  createTeam: async (transaction, { body }) => changed('team', null, await createTeam(transaction, body), teamOf),
  getTeam: async (db, { params: { team }, reach }) => {
    const row = found('team', team, reaches(reach, team) ? await getTeam(db, team) : undefined);
    return { body: teamOf(row), version: row.version };
  },
  updateTeam: async (transaction, { params, body, expects }) => {
    const before = found('team', params.team, await getTeam(transaction, params.team));
    expects(before.version);
    const after = found('team', before.id, await updateTeam(transaction, before.id, body));
    return changed('team', before, after, teamOf);
  },
  deleteTeam: async (transaction, { params, expects }) => {
    const before = found('team', params.team, await getTeam(transaction, params.team));
    expects(before.version);
    await deleteTeam(transaction, before.id);
    return deleted('team', before, teamOf);
  },

  listUsers: async (db, { query: { limit, after, team }, reach }) => {
    if (team !== undefined) refuseForeignTeam(reach, team);
    const only = { team: reach.kind === 'team' ? reach.team : team };
    const rows = await listUsers(db, only, { limit: limit + 1, after: readCursor(after) });
    return { body: pageOf(rows, limit, userOf, idOf) };
  },
  createUser: async (transaction, { body, reach }) => {
    const team = body.team ?? (reach.kind === 'team' ? reach.team : null);
    refuseForeignTeam(reach, team);
    return changed('user', null, await createUser(transaction, { ...body, team }), userOf);
  },
  getUser: async (db, { params: { user }, reach }) => {
    const row = await reachedUser(db, user, reach);
    return { body: userOf(row), version: row.version };
  },
  updateUser: async (transaction, { params, body, reach, expects }) => {
    const before = await reachedUser(transaction, params.user, reach);
    expects(before.version);
    if (body.team !== undefined) refuseForeignTeam(reach, body.team);
    const after = found('user', before.id, await updateUser(transaction, before.id, body));
    return changed('user', before, after, userOf);
  },
  deleteUser: async (transaction, { params, reach, expects }) => {
    const before = await reachedUser(transaction, params.user, reach);
    expects(before.version);
    await deleteUser(transaction, before.id);
    return deleted('user', before, userOf);
  },
};

/** One of another team is not told from one that there is not. @throws GatewayError(`not_found`) */
async function reachedUser(db: Database, id: string, reach: Reach): Promise<UserRow> {
  const row = await getUser(db, id);
  return found('user', id, row !== undefined && reaches(reach, row.team) ? row : undefined);
}

/** @throws GatewayError(`forbidden`) */
export function refuseForeignTeam(reach: Reach, team: string | null): void {
  if (reaches(reach, team)) return;
  throw new GatewayError('forbidden', 'A team’s administrator may do this for its own team only.', { param: 'team' });
}

interface Row {
  readonly id: string;
  readonly version: bigint;
}

function changed<R extends Row, Body extends object>(
  entity: string,
  before: R | null,
  after: R,
  show: (row: R) => Body,
) {
  const body = show(after);
  return { body, version: after.version, entity, entityId: after.id, before: before && show(before), after: body };
}

function deleted<R extends Row>(entity: string, before: R, show: (row: R) => object) {
  const body = { object: entity, id: before.id, deleted: true as const };
  return { body, entity, entityId: before.id, before: show(before), after: null };
}

function idOf({ id }: Row): string {
  return id;
}

function organisationOf({ id, name, tags, ...row }: OrganisationRow): Organisation {
  return { object: 'organisation', id, name, tags, ...versionOf(row) };
}

function teamOf({ id, name, organisation, tags, ...row }: TeamRow): Team {
  return { object: 'team', id, name, organisation, tags, ...versionOf(row) };
}

function userOf({ id, name, team, email, subject, tags, ...row }: UserRow): User {
  return { object: 'user', id, name, team, email, subject, tags, ...versionOf(row) };
}

function versionOf(row: { readonly version: bigint; readonly created_at: Date; readonly updated_at: Date }) {
  return {
    version: Number(row.version),
    created_at: row.created_at.toISOString(),
    updated_at: row.updated_at.toISOString(),
  };
}
