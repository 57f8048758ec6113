/** From the root of the file to a value: keys, and indexes of lists. */
export type ConfigPath = ReadonlyArray<string | number>;

/** What is wrong at one place. `line` counts from 1; undefined where the file has no such place. Never holds a secret. */
export interface ConfigProblem {
  /** `providers.vllm.base_url`, `auth.keys[0].key`, or the variable or option that was read instead: `SLUICE_PORT`. */
  readonly path: string;
  readonly line?: number;
  readonly message: string;
  readonly hint?: string;
}

/** Every problem of a configuration at once; `message` has one line for each. */
export class ConfigError extends Error {
  override readonly name = 'ConfigError';
  readonly file: string | undefined;
  readonly problems: ReadonlyArray<ConfigProblem>;

  constructor(file: string | undefined, problems: ReadonlyArray<ConfigProblem>) {
    super(problems.map((problem) => formatProblem(file, problem)).join('\n'));
    this.file = file;
    this.problems = problems;
  }
}

/** `sluice.yaml:7: server.prot: unknown key (did you mean `port`?)` */
export function formatProblem(file: string | undefined, { path, line, message, hint }: ConfigProblem): string {
  const place = line === undefined ? [] : [`${file ?? 'configuration'}:${line}`];
  const said = hint === undefined ? message : `${message} (${hint})`;
  return [...place, ...(path === '' ? [] : [path]), said].join(': ');
}

/** `['auth', 'keys', 0, 'key']` → `auth.keys[0].key`; a key with other characters is quoted: `models["gpt-4.1"]`. */
export function formatPath(path: ConfigPath): string {
  return path.reduce<string>((text, part) => {
    if (typeof part === 'number') return `${text}[${part}]`;
    if (!/^[\w-]+$/.test(part)) return `${text}[${JSON.stringify(part)}]`;
    return text === '' ? part : `${text}.${part}`;
  }, '');
}

/** `did you mean …?` for the nearest of `known`, when it is near enough to be a slip of the hand. */
export function suggest(word: string, known: Iterable<string>): string | undefined {
  let nearest: string | undefined;
  let shortest = Math.max(1, Math.floor(word.length / 3)) + 1;
  for (const candidate of known) {
    // At least as many edits as the lengths differ by: a word of any length costs little.
    if (Math.abs(word.length - candidate.length) >= shortest) continue;
    const distance = editDistance(word.toLowerCase(), candidate.toLowerCase());
    if (distance < shortest) [nearest, shortest] = [candidate, distance];
  }
  return nearest === undefined ? undefined : `did you mean \`${nearest}\`?`;
}

/** Insertions, deletions, substitutions and swaps of neighbours (optimal string alignment). */
function editDistance(a: string, b: string): number {
  let beforeLast: number[] = [];
  let last = Array.from({ length: b.length + 1 }, (_, j) => j);
  for (let i = 1; i <= a.length; i++) {
    const row = [i];
    for (let j = 1; j <= b.length; j++) {
      const isSame = a[i - 1] === b[j - 1];
      const isSwap = i > 1 && j > 1 && a[i - 1] === b[j - 2] && a[i - 2] === b[j - 1];
      const edits = [at(last, j) + 1, at(row, j - 1) + 1, at(last, j - 1) + (isSame ? 0 : 1)];
      row.push(Math.min(...edits, isSwap ? at(beforeLast, j - 2) + 1 : Infinity));
    }
    [beforeLast, last] = [last, row];
  }
  return at(last, b.length);
}

function at(row: readonly number[], index: number): number {
  return row[index] ?? Infinity;
}
