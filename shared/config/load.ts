import { readFileSync } from 'node:fs';
import path from 'node:path';
import { buildConfig } from './build.ts';
import { checkReferences } from './check-references.ts';
import { EMPTY_DOCUMENT, parseConfigDocument } from './document.ts';
import type { ConfigDocument } from './document.ts';
import { ConfigError, formatPath } from './errors.ts';
import type { ConfigPath, ConfigProblem } from './errors.ts';
import { isRecord } from './fields.ts';
import type { IssueParams } from './fields.ts';
import { interpolate, reasonOf } from './interpolate.ts';
import type { InterpolationSources } from './interpolate.ts';
import type { Finding } from './raw-file.ts';
import { ConfigFile } from './schema.ts';
import type { Config } from './types.ts';

export interface LoadConfigOptions {
  readonly argv?: { readonly config?: string | undefined };
  readonly env: Readonly<Record<string, string | undefined>>;
  /** Absolute. */
  readonly cwd: string;
  /** Given an absolute path; throws as `readFileSync` does. */
  readonly readFile?: (path: string) => string;
}

/** A variable that is set, and not empty, takes the place of the file's value; the first of several wins. */
const OVERRIDES: ReadonlyArray<{ readonly path: readonly [string, ...string[]]; readonly names: readonly string[] }> = [
  { path: ['server', 'host'], names: ['SLUICE_HOST'] },
  { path: ['server', 'port'], names: ['SLUICE_PORT', 'PORT'] },
  { path: ['data_dir'], names: ['SLUICE_DATA_DIR'] },
  { path: ['auth', 'admin_key'], names: ['SLUICE_ADMIN_KEY'] },
  { path: ['auth', 'secret'], names: ['SLUICE_SECRET'] },
  { path: ['nats', 'url'], names: ['NATS_URL'] },
  { path: ['database', 'url'], names: ['DATABASE_URL'] },
  { path: ['redis', 'url'], names: ['REDIS_URL'] },
  { path: ['logging', 'level'], names: ['SLUICE_LOG_LEVEL', 'LOG_LEVEL'] },
];

/**
 * The file (`--config`, else SLUICE_CONFIG, else ./sluice.yaml if there is one), the environment and the defaults, as
 * one checked Config. A relative path in the file starts at the file's folder, one of the environment at `cwd`.
 * @throws ConfigError with all problems at once; with those of the syntax only, where the file is not YAML.
 */
export function loadConfig({ argv = {}, env, cwd, readFile = readText }: LoadConfigOptions): Config {
  const { file, text } = findFile({ argv, env, cwd, readFile });
  const document = text === undefined ? EMPTY_DOCUMENT : parseConfigDocument(text);
  if (document.syntaxErrors.length > 0) {
    const problems = document.syntaxErrors.map((error) => ({ path: '', ...error }));
    throw new ConfigError(file, problems);
  }

  const folder = file === undefined ? cwd : path.dirname(file);
  const sources = { env, readFile: (name: string) => readFile(path.resolve(folder, name)) };
  const unresolved: Finding[] = [];
  const written = interpolateAll(document.value ?? {}, [], sources, unresolved);
  const { value, origins } = applyOverrides(written, env);

  const parsed = ConfigFile.safeParse(value);
  const problems = mergeFindings(unresolved, parsed.error?.issues ?? [], checkReferences(value, env));
  if (parsed.success && problems.length === 0) {
    const base = origins.has('data_dir') || !isRecord(written) || !written['data_dir'] ? cwd : folder;
    return buildConfig(parsed.data, { file, dataDir: path.resolve(base, parsed.data.data_dir), env });
  }
  throw new ConfigError(file, inFileOrder(problems.map((problem) => locate(problem, document, origins))));
}

function readText(name: string): string {
  return readFileSync(name, 'utf8');
}

function findFile({ argv, env, cwd, readFile }: Required<LoadConfigOptions>): { file?: string; text?: string } {
  const named = argv.config ?? (env['SLUICE_CONFIG'] || undefined);
  const file = path.resolve(cwd, named ?? 'sluice.yaml');
  try {
    return { file, text: readFile(file) };
  } catch (error) {
    const reason = reasonOf(error);
    if (named === undefined && reason === 'ENOENT') return {};
    const source = named === undefined ? '' : argv.config === undefined ? 'SLUICE_CONFIG' : '--config';
    throw new ConfigError(file, [{ path: source, message: `cannot read the file ${file}: ${reason}` }]);
  }
}

/** Every string below `value` with its `${…}` replaced; a string whose reference has no value becomes undefined. */
function interpolateAll(value: unknown, at: ConfigPath, sources: InterpolationSources, findings: Finding[]): unknown {
  if (typeof value === 'string') {
    const { text, problems } = interpolate(value, sources);
    findings.push(...problems.map((message) => ({ path: at, message })));
    return problems.length > 0 ? undefined : text;
  }
  if (Array.isArray(value)) return value.map((item, index) => interpolateAll(item, [...at, index], sources, findings));
  if (!isRecord(value)) return value;
  return Object.fromEntries(
    Object.entries(value).map(([key, item]) => [key, interpolateAll(item, [...at, key], sources, findings)]),
  );
}

interface Overridden {
  readonly value: unknown;
  /** formatPath → the variable its value came from. */
  readonly origins: ReadonlyMap<string, string>;
}

function applyOverrides(written: unknown, env: LoadConfigOptions['env']): Overridden {
  const origins = new Map<string, string>();
  let value = written;
  for (const { path: at, names } of OVERRIDES) {
    const name = names.find((candidate) => env[candidate]);
    if (name === undefined) continue;
    value = withValue(value, at, env[name]);
    origins.set(formatPath(at), name);
  }
  return { value, origins };
}

/** `value` with another value at `at`. Where the file has something that is no map, it stays, to be complained of. */
function withValue(value: unknown, [key, ...rest]: readonly [string, ...string[]], replacement: unknown): unknown {
  if (value === undefined || value === null) return withValue({}, [key, ...rest], replacement);
  if (!isRecord(value)) return value;
  const [next, ...others] = rest;
  return { ...value, [key]: next === undefined ? replacement : withValue(value[key], [next, ...others], replacement) };
}

type Issue = NonNullable<ReturnType<typeof ConfigFile.safeParse>['error']>['issues'][number];

/**
 * One list, with what follows from another problem left out: a value that `${…}` did not give is not "missing" too, and
 * nothing is said about what is below a key that is unknown or not supported.
 */
function mergeFindings(unresolved: Finding[], issues: readonly Issue[], references: Finding[]): Finding[] {
  const params = (issue: Issue): IssueParams => (issue.code === 'custom' ? (issue.params ?? {}) : {});
  const pathOf = ({ path: at }: Issue): ConfigPath =>
    at.map((part) => (typeof part === 'symbol' ? String(part) : part));
  const hidden = new Set(issues.filter((issue) => params(issue).hides).map((issue) => formatPath(pathOf(issue))));
  const isHidden = ({ path: at }: Finding) => at.some((_, index) => hidden.has(formatPath(at.slice(0, index + 1))));
  const kept = unresolved.filter((finding) => !isHidden(finding));
  const told = new Set(kept.map((finding) => formatPath(finding.path)));
  const found = issues.map((issue) => ({ path: pathOf(issue), message: issue.message, hint: params(issue).hint }));
  return [
    ...kept,
    ...found.filter((finding) => !told.has(formatPath(finding.path))),
    ...references.filter((finding) => !told.has(formatPath(finding.path))),
  ];
}

function locate(
  { path: at, message, hint }: Finding,
  document: ConfigDocument,
  origins: Overridden['origins'],
): ConfigProblem {
  const shown = formatPath(at);
  const origin = origins.get(shown);
  const line = origin === undefined ? document.lineOf(at) : undefined;
  return { path: origin ?? shown, ...(line !== undefined && { line }), message, ...(hint !== undefined && { hint }) };
}

/** By line, those without one first; a stable sort keeps the rest in order. */
function inFileOrder(problems: readonly ConfigProblem[]): ConfigProblem[] {
  return problems.toSorted((a, b) => (a.line ?? 0) - (b.line ?? 0));
}
