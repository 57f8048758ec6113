import { expect, test } from 'vitest';
import { ConfigError } from './errors.ts';
import { loadConfig } from './load.ts';

function problemsOf(auth: string): string[] {
  try {
    loadConfig({ env: {}, cwd: '/srv', readFile: () => `auth: ${auth}` });
    return [];
  } catch (failure) {
    if (!(failure instanceof ConfigError)) throw failure;
    return failure.problems.map(({ path, message }) => `${path}: ${message}`);
  }
}

const key = (more: string): string => `{ keys: [{ name: a, key: k, ${more} }] }`;
const issuer = (more: string): string => `{ jwt: [{ issuer: "https://id", audience: a, ${more} }] }`;

test.each([
  { auth: '{ secret: short }', problem: 'auth.secret: must be text of 16 characters or more' },
  {
    auth: key('networks: [10.0.0.0/33]'),
    problem: 'auth.keys[0].networks[0]: "10.0.0.0/33" is not a network such as 10.0.0.0/8 or 2001:db8::/32',
  },
  { auth: key('models: ["openai*"]'), problem: 'auth.keys[0].models[0]: a model is a name, or `provider/*`' },
  { auth: key('role: king'), problem: 'auth.keys[0].role: must be one of owner, admin, viewer, team_admin' },
  {
    auth: key('expires: tomorrow'),
    problem: 'auth.keys[0].expires: must be a date or a moment such as 2027-01-31 or 2027-01-31T12:00:00Z',
  },
  { auth: key('may_name: [model]'), problem: 'auth.keys[0].may_name[0]: must be one of user, feature, session, tags' },
  {
    auth: key('tags: { "a b": c }'),
    problem: 'auth.keys[0].tags["a b"]: a tag’s name must not contain `=` or spaces',
  },
  {
    auth: key(`tags: { a: ${'x'.repeat(127)} }`),
    problem: 'auth.keys[0].tags.a: is longer than 128 characters',
  },
  { auth: '{ jwt: [{ issuer: "https://id" }] }', problem: 'auth.jwt[0].audience: is required' },
  {
    auth: issuer('roles: { x: king }'),
    problem: 'auth.jwt[0].roles.x: must be one of owner, admin, viewer, team_admin',
  },
  {
    auth: '{ jwt: [{ issuer: "https://id", audience: a }, { issuer: "https://id", name: b, audience: b }] }',
    problem: 'auth.jwt[1].issuer: is the issuer of auth.jwt[0] too',
  },
  {
    auth: '{ jwt: [{ issuer: "https://id/a", audience: a }, { issuer: "https://id/b", audience: b }] }',
    problem: 'auth.jwt[1]: its name, id, is the name of auth.jwt[0] too',
  },
])('$auth', ({ auth, problem }) => {
  expect(problemsOf(auth)).toEqual([problem]);
});

test.each(['{}', key('expires: "2027-01-31T12:00:00+01:00", models: []'), issuer('roles: { x: owner }')])(
  '%s is right',
  (auth) => {
    expect(problemsOf(auth)).toEqual([]);
  },
);
