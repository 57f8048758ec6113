import { expect, test } from 'vitest';
import { matchOperation } from './match.ts';

test.each([
  { method: 'GET', path: '/teams', id: 'listTeams', params: {} },
  { method: 'GET', path: '/teams/', id: 'listTeams', params: {} },
  { method: 'PATCH', path: '/teams/search', id: 'updateTeam', params: { team: 'search' } },
  { method: 'GET', path: '/users/a%2Fb%20c', id: 'getUser', params: { user: 'a/b c' } },
])('$method $path is $id', ({ method, path, id, params }) => {
  expect(matchOperation(method, path)).toEqual({ kind: 'found', id, params });
});

test.each(['/', '', '/team', '/teams/a/b', '/users/%', '/teams//', '//teams'])('%s is nothing', (path) => {
  expect(matchOperation('GET', path)).toEqual({ kind: 'unknown' });
});

test('a path that is there with another method says which methods it has', () => {
  expect(matchOperation('PUT', '/teams')).toEqual({ kind: 'method_not_allowed', allowed: ['GET', 'POST'] });
});
