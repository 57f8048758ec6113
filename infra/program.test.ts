import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Command } from 'commander';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { runCli } from './commands/testing/run-cli.ts';
import type { CliResult } from './commands/testing/run-cli.ts';
import { buildProgram } from './program.ts';

let cwd: string;
const sluice = (args: string, env: Record<string, string> = {}): Promise<CliResult> =>
  runCli(args === '' ? [] : args.split(' '), { cwd, env });

beforeAll(async () => {
  cwd = await mkdtemp(join(tmpdir(), 'sluice-cli-'));
  await writeFile(
    join(cwd, 'bad.yaml'),
    'server:\n  prot: 80\nproviders:\n  mine: { base_url: "ftp://x", api_key: sk-not-to-be-shown }\n',
  );
  await writeFile(
    join(cwd, 'good.yaml'),
    'providers:\n  mine: { base_url: "http://127.0.0.1:9/v1", api_key: sk-not-to-be-shown }\n',
  );
});
afterAll(() => rm(cwd, { recursive: true, force: true }));

describe('help', () => {
  test('without a command all of them are listed', async () => {
    const { code, stdout } = await sluice('');
    expect(code).toBe(0);
    for (const name of [
      'start',
      'ingress',
      'router',
      'worker',
      'ledger',
      'keys',
      'deployments',
      'usage',
      'health',
      'config',
      'doctor',
      'version',
    ]) {
      expect(stdout).toMatch(new RegExp(`^  ${name}\\b`, 'm'));
    }
  });

  test.each(commandsOf(buildProgram()))('$name has a description and examples', ({ command }) => {
    let help = '';
    command.configureOutput({ writeOut: (text) => (help += text) }).outputHelp();
    expect(command.description()).not.toBe('');
    expect(help).toContain('Examples:');
  });

  test.each(['usage --help', 'help usage'])('%s', async (args) => {
    const { code, stdout } = await sluice(args);
    expect(code).toBe(0);
    expect(stdout).toContain('Usage: sluice usage [options]');
  });
});

describe('a wrong command line ends with 2 and says what is wrong', () => {
  test.each([
    { args: 'strat', says: 'Did you mean start?' },
    { args: 'usage --sinse 3d', says: 'Did you mean --since?' },
    { args: 'usage --since yesterday', says: 'It must be a time ago' },
    { args: 'usage --by colour', says: '"colour" is not one of key, model' },
    { args: 'usage --last 0', says: 'It must be a number from 1' },
    { args: 'keys', says: 'Usage: sluice keys' },
    { args: 'keys create', says: "required option '-n, --name <name>'" },
    { args: 'keys revoke', says: "missing required argument 'key'" },
    { args: 'version extra', says: 'too many arguments' },
  ])('$args', async ({ args, says }) => {
    const { code, stdout, stderr } = await sluice(args);
    expect({ code, stdout }).toEqual({ code: 2, stdout: '' });
    expect(stderr).toContain(says);
  });
});

describe('config', () => {
  test('check names every problem with its line and what to do, and no secret', async () => {
    const { code, stdout, stderr } = await sluice('config check -c bad.yaml');
    expect({ code, stdout }).toEqual({ code: 1, stdout: '' });
    const file = join(cwd, 'bad.yaml');
    expect(stderr.split('\n')).toEqual([
      `sluice: 2 problems in ${file}`,
      `  ${file}:2  server.prot: unknown key \`prot\``,
      '    → did you mean `port`?',
      expect.stringContaining(`  ${file}:4  providers.mine.base_url: must be a URL`),
      '',
    ]);
  });

  test('check --json is for programs', async () => {
    const { code, stdout } = await sluice('config check -c bad.yaml --json');
    expect(code).toBe(1);
    expect(JSON.parse(stdout)).toMatchObject({
      ok: false,
      problems: [{ path: 'server.prot', line: 2, hint: 'did you mean `port`?' }, { line: 4 }],
    });
  });

  test('a bad flag is called by its own name', async () => {
    const { code, stderr } = await sluice('start --port 99999');
    expect(code).toBe(1);
    expect(stderr).toContain('--port: must be an integer');
  });

  test('show hides secrets', async () => {
    const { code, stdout } = await sluice('config show -c good.yaml --json');
    expect(code).toBe(0);
    expect(stdout).not.toContain('sk-not-to-be-shown');
    expect(JSON.parse(stdout)).toMatchObject({
      server: { port: 8080 },
      providers: [{ name: 'mine', apiKey: '[redacted]' }],
    });
    expect((await sluice('config show -c good.yaml')).stdout).toContain('port: 8080');
  });
});

describe('errors', () => {
  test.each([
    { args: 'router', env: {}, says: 'Set NATS_URL=' },
    { args: 'ledger', env: { NATS_URL: 'nats://127.0.0.1:1' }, says: 'Set DATABASE_URL=' },
    {
      args: 'worker',
      env: { NATS_URL: 'nats://user:secret@127.0.0.1:1' },
      says: 'NATS does not answer at 127.0.0.1:1',
    },
    {
      args: 'router',
      env: { NATS_URL: 'nats://127.0.0.1:1', SLUICE_METRICS_PORT: 'x' },
      says: 'SLUICE_METRICS_PORT=x is not a port',
    },
    { args: 'keys list', env: {}, says: 'Start one with `sluice start`' },
    {
      args: 'usage',
      env: { DATABASE_URL: 'postgres://user:secret@127.0.0.1:1/x' },
      says: 'Postgres does not answer at 127.0.0.1:1/x',
    },
  ])('$args $env says what to do, without a stack or a secret', async ({ args, env, says }) => {
    const { code, stderr } = await sluice(args, env);
    expect(code).toBe(1);
    expect(stderr).toContain(says);
    expect(stderr).not.toMatch(/\n {4}at |secret/);
  });

  test.each([
    { args: 'router --verbose', env: {} },
    { args: 'router', env: { DEBUG: 'sluice' } },
  ])('$args $env has the stack', async ({ args, env }) => {
    expect((await sluice(args, env)).stderr).toMatch(/\n {4}at /);
  });
});

describe('doctor', () => {
  test('finds a machine that can run a gateway well', async () => {
    const { code, stdout } = await sluice('doctor --json', { SLUICE_PORT: '0' });
    const { ok, checks } = JSON.parse(stdout) as { ok: boolean; checks: Array<{ name: string; status: string }> };
    expect({ code, ok }).toEqual({ code: 0, ok: true });
    expect(checks.map(({ name }) => name)).toEqual([
      'node',
      'config',
      'nats',
      'postgres',
      'redis',
      'data folder',
      'port',
      'provider simulated',
    ]);
  });

  test('says what to do about everything that is amiss, and ends with 1', async () => {
    const away = {
      NATS_URL: 'nats://127.0.0.1:1',
      DATABASE_URL: 'postgres://a:secret@127.0.0.1:1/x',
      REDIS_URL: 'redis://:secret@127.0.0.1:1',
      SLUICE_PORT: '0',
    };
    const { code, stdout } = await sluice('doctor', away);
    expect(code).toBe(1);
    expect(stdout.split('\n').filter((line) => line.startsWith('fail'))).toEqual([
      expect.stringMatching(/^fail {2}nats .*127\.0\.0\.1:1.* → /),
      expect.stringMatching(/^fail {2}postgres .*127\.0\.0\.1:1\/x.* → /),
      expect.stringMatching(/^fail {2}redis .*127\.0\.0\.1:1.* → /),
    ]);
    expect(stdout).not.toContain('secret');
  });

  test('a bad configuration is the first thing to mend', async () => {
    const { code, stdout } = await sluice('doctor --json -c bad.yaml');
    expect(code).toBe(1);
    expect(JSON.parse(stdout)).toMatchObject({
      ok: false,
      checks: [
        { name: 'node', status: 'ok' },
        { name: 'config', status: 'fail' },
        { name: 'config', status: 'fail' },
      ],
    });
  });
});

test('version tells what it runs on', async () => {
  const { code, stdout } = await sluice('version --json');
  expect(code).toBe(0);
  expect(JSON.parse(stdout)).toMatchObject({
    sluice: expect.stringMatching(/^\d+\.\d+\.\d+/) as string,
    node: process.versions.node,
  });
});

test('nothing is coloured without a terminal', async () => {
  const { stdout } = await sluice('doctor', { SLUICE_PORT: '0' });
  expect(stdout).not.toContain('\u001b');
});

/** Every command and subcommand. */
function commandsOf(parent: Command, path = ''): Array<{ name: string; command: Command }> {
  return parent.commands.flatMap((command) => {
    const name = `${path}${command.name()}`;
    return [{ name, command }, ...commandsOf(command, `${name} `)];
  });
}
