import { describe, expect, test } from 'vitest';
import type { Role } from '../../../shared/messages/key.ts';
import { actorName, mayHandle, reaches, reachOf, roleOf } from './reach.ts';

describe('how far a role goes', () => {
  test.each([
    { role: 'owner', team: null, reach: { kind: 'all' } },
    { role: 'viewer', team: 'search', reach: { kind: 'all' } },
    { role: 'team_admin', team: 'search', reach: { kind: 'team', team: 'search' } },
    { role: 'team_admin', team: null, reach: undefined },
    { role: null, team: 'search', reach: undefined },
    { role: 'a_role_of_tomorrow', team: null, reach: undefined },
  ])('$role of $team', ({ role, team, reach }) => expect(reachOf({ role, team })).toEqual(reach));

  test('a role that nobody knows is none', () => expect(roleOf({ role: 'king' })).toBeNull());

  test('a team’s administrator reaches its own team, and nothing that is of no team', () => {
    const reach = { kind: 'team', team: 'search' } as const;
    expect(['search', 'web', null].map((team) => reaches(reach, team))).toEqual([true, false, false]);
    expect(reaches({ kind: 'all' }, null)).toBe(true);
  });
});

test.each<{ actor: Role; handles: Array<Role | null> }>([
  { actor: 'owner', handles: ['owner', 'admin', 'viewer', 'team_admin', null] },
  { actor: 'admin', handles: ['admin', 'viewer', 'team_admin', null] },
  { actor: 'viewer', handles: [] },
  { actor: 'team_admin', handles: ['team_admin', null] },
])('$actor may handle keys of $handles', ({ actor, handles }) => {
  const all: Array<Role | null> = ['owner', 'admin', 'viewer', 'team_admin', null];
  expect(all.filter((role) => mayHandle(actor, role))).toEqual(handles);
});

test('an actor is its key, and whom it stands for', () => {
  expect(actorName({ keyId: 'key_1', user: null })).toBe('key_1');
  expect(actorName({ keyId: 'jwt:corp', user: 'ada' })).toBe('jwt:corp/ada');
});
