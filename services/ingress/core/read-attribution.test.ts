import { describe, expect, test } from 'vitest';
import { GatewayError } from '../../../shared/errors.ts';
import { parseScope, scopesOf } from '../../../shared/scope.ts';
import type { SaidInBody, Speaker } from './read-attribution.ts';
import { readAttribution } from './read-attribution.ts';

const NOTHING: SaidInBody = { endUser: undefined, metadata: undefined };
const principal = { keyId: 'key_1', keyName: 'one', team: 'search', organisation: 'acme', user: 'owner' };

interface Said {
  readonly body?: Partial<SaidInBody>;
  readonly headers?: Record<string, string>;
  readonly policy?: Speaker['policy'];
}

const read = ({ body = {}, headers = {}, policy = {} }: Said) =>
  readAttribution({ ...NOTHING, ...body }, headers, { principal, policy });

const failureOf = (said: Said): { code: string; param: string | undefined } => {
  try {
    read(said);
  } catch (failure) {
    if (!(failure instanceof GatewayError)) throw failure;
    return { code: failure.code, param: failure.param };
  }
  throw new Error('it was accepted');
};

test('a request that says nothing is its key’s', () => {
  expect(read({})).toEqual({
    ...{ organisation: 'acme', team: 'search', user: 'owner', keyId: 'key_1' },
    ...{ feature: null, session: null, tags: {} },
  });
});

test('a key of nobody is of nobody', () => {
  const nobody = { keyId: 'config:ci', keyName: 'ci', team: null };
  expect(readAttribution(NOTHING, {}, { principal: nobody, policy: {} })).toMatchObject({
    ...{ organisation: null, team: null, user: null, keyId: 'config:ci' },
  });
});

describe('headers', () => {
  test('name the user, the feature, the session and tags', () => {
    const headers = {
      'x-sluice-user': 'ada',
      'x-sluice-feature': 'chat',
      'x-sluice-session': 's-1',
      'x-sluice-property-env': 'test',
    };
    expect(read({ headers })).toMatchObject({ user: 'ada', feature: 'chat', session: 's-1', tags: { env: 'test' } });
  });

  test.each([
    { header: 'helicone-user-id', value: 'ada', is: { user: 'ada' } },
    { header: 'x-litellm-customer-id', value: 'ada', is: { user: 'ada' } },
    { header: 'x-litellm-end-user-id', value: 'ada', is: { user: 'ada' } },
    { header: 'helicone-session-id', value: 's-1', is: { session: 's-1' } },
    { header: 'helicone-property-env', value: 'test', is: { tags: { env: 'test' } } },
    { header: 'x-litellm-tags', value: 'nightly, job:7,', is: { tags: { nightly: 'true', job: '7' } } },
    {
      header: 'x-portkey-metadata',
      value: '{"_user":"ada","env":"test","n":[1]}',
      is: { user: 'ada', tags: { env: 'test' } },
    },
    {
      header: 'cf-aig-metadata',
      value: '{"team":"red","beta":true,"n":7}',
      is: { tags: { team: 'red', beta: 'true', n: '7' } },
    },
  ])('of other gateways mean the same: $header', ({ header, value, is }) => {
    expect(read({ headers: { [header]: value } })).toMatchObject(is);
  });

  test('of this gateway go before those of others', () => {
    expect(read({ headers: { 'helicone-user-id': 'bob', 'x-sluice-user': 'ada' } }).user).toBe('ada');
  });

  test('go before the body', () => {
    const said = { headers: { 'x-sluice-user': 'ada', 'x-sluice-property-env': 'test' } };
    const body = { endUser: 'bob', metadata: { env: 'prod', job: '7' } };
    expect(read({ ...said, body })).toMatchObject({ user: 'ada', tags: { env: 'test', job: '7' } });
  });

  test('that are empty say nothing', () => {
    expect(read({ headers: { 'x-sluice-user': '', 'x-sluice-property-env': '' } })).toMatchObject({
      user: 'owner',
      tags: {},
    });
  });

  test('are read as UTF-8 where they are, else as Latin-1', () => {
    const asNodeReadsIt = Buffer.from('Ада À', 'utf8').toString('latin1');
    expect(read({ headers: { 'x-sluice-user': asNodeReadsIt } }).user).toBe('Ада À');
    expect(read({ headers: { 'x-sluice-user': 'J\u00fcrgen' } }).user).toBe('Jürgen');
  });
});

describe('the body', () => {
  test('names its end user and tags', () => {
    const body = { endUser: 'ada', metadata: { env: 'test', retries: 3, deep: { a: 1 }, none: null } };
    expect(read({ body })).toMatchObject({ user: 'ada', tags: { env: 'test', retries: '3' } });
  });

  test.each([['a list'], [['a']], [7], [null]])('has tags in a metadata object alone: %j', (metadata) => {
    expect(read({ body: { metadata } }).tags).toEqual({});
  });

  test('may keep what can be no tag in its metadata', () => {
    const metadata = { 'a=b': 'c', '': 'x', text: 'two\nlines', '*': 'y', ok: 'z' };
    expect(read({ body: { metadata } }).tags).toEqual({ ok: 'z' });
  });
});

describe('a key', () => {
  const policy = { mayName: [], tags: { env: 'prod' } };

  test.each([
    { header: 'x-sluice-user', value: 'ada' },
    { header: 'helicone-user-id', value: 'ada' },
    { header: 'x-sluice-feature', value: 'chat' },
    { header: 'x-sluice-session', value: 's' },
    { header: 'x-sluice-property-team', value: 'red' },
    { header: 'x-litellm-tags', value: 'red' },
    { header: 'x-portkey-metadata', value: '{"_user":"ada"}' },
  ])('may not let its requests say it: $header', ({ header, value }) => {
    expect(failureOf({ headers: { [header]: value }, policy })).toEqual({
      code: 'attribution_not_allowed',
      param: header,
    });
  });

  test('that does not let them say it passes over OpenAI’s own fields', () => {
    const body = { endUser: 'ada', metadata: { job: '7' } };
    expect(read({ body, policy })).toMatchObject({ user: 'owner', tags: { env: 'prod' } });
  });

  test('may let them say some of it', () => {
    const some: Speaker['policy'] = { mayName: ['user'] };
    expect(read({ headers: { 'x-sluice-user': 'ada' }, policy: some }).user).toBe('ada');
    expect(failureOf({ headers: { 'x-sluice-feature': 'chat' }, policy: some }).param).toBe('x-sluice-feature');
  });

  test('has tags that none of its requests replaces', () => {
    const said = {
      headers: { 'x-sluice-property-env': 'test', 'x-sluice-property-job': '7' },
      body: { metadata: { env: 'dev' } },
    };
    expect(read({ ...said, policy: { tags: { env: 'prod' } } }).tags).toEqual({ env: 'prod', job: '7' });
  });
});

describe('bounds', () => {
  test.each([
    { headers: { 'x-sluice-user': 'a\u0007' }, param: 'x-sluice-user' },
    { headers: { 'x-sluice-user': '*' }, param: 'x-sluice-user' },
    { headers: { 'x-sluice-property-a=b': 'c' }, param: 'x-sluice-property-a=b' },
    { headers: { 'x-portkey-metadata': '{' }, param: 'x-portkey-metadata' },
    { headers: { 'cf-aig-metadata': '[1]' }, param: 'cf-aig-metadata' },
  ])('a header that names nothing is refused: $headers', ({ headers, param }) => {
    expect(failureOf({ headers: headers })).toEqual({ code: 'invalid_request', param });
  });

  test('so is an end user that could stand nowhere', () => {
    expect(failureOf({ body: { endUser: 'a\nb' } })).toEqual({ code: 'invalid_request', param: 'user' });
    expect(failureOf({ body: { endUser: 'a\ud800' } })).toEqual({ code: 'invalid_request', param: 'user' });
  });

  test('long names are cut, at the end of a character, to what a scope may be', () => {
    const user = `${'u'.repeat(127)}🦉`;
    const attribution = read({
      headers: { 'x-sluice-user': user, 'x-sluice-feature': 'f'.repeat(500) },
      body: { metadata: { ['n'.repeat(100)]: 'v'.repeat(500) } },
    });
    expect(attribution.user).toBe('u'.repeat(127));
    const scopes = scopesOf(attribution, { model: 'm', route: null });
    expect(scopes.filter((scope) => parseScope(scope) === undefined)).toEqual([]);
  });

  test('there are 16 tags; a header beyond is refused, metadata beyond is left', () => {
    const names = Array.from({ length: 16 }, (_, i) => `t${i}`);
    const headers = Object.fromEntries(names.map((name) => [`x-sluice-property-${name}`, 'x']));
    expect(Object.keys(read({ headers, body: { metadata: { more: 'x' } } }).tags)).toEqual(names);
    expect(failureOf({ headers: { ...headers, 'x-sluice-property-more': 'x' } })).toEqual({
      code: 'invalid_request',
      param: 'x-sluice-property-more',
    });
  });
});
