/** Where `${…}` comes from. */
export interface InterpolationSources {
  readonly env: Readonly<Record<string, string | undefined>>;
  /** The text of a file. Throws as `readFileSync` does. */
  readonly readFile: (path: string) => string;
}

export interface Interpolated {
  readonly text: string;
  /** Why a reference has no value; `text` is then of no use. */
  readonly problems: ReadonlyArray<string>;
}

const REFERENCE = /\$\$\{|\$\{([^}]*)(\}?)/g;
const VARIABLE = /^([A-Za-z_][A-Za-z0-9_]*)(?::-(.*))?$/s;
const FILE = /^file:(.+)$/s;

/**
 * `${NAME}`, `${NAME:-default}` (also when NAME is empty, as in a shell), `${file:/run/secrets/x}` (without the line
 * break at its end). `$${` is a plain `${`. A value is taken as it is: a `${` inside of it means nothing.
 */
export function interpolate(text: string, sources: InterpolationSources): Interpolated {
  const problems: string[] = [];
  const resolve = (_reference: string, inner: string | undefined, end: string | undefined): string => {
    if (inner === undefined) return '${';
    if (end === '') problems.push(`${shown(inner)} has no closing brace`);
    else if (inner.includes('${')) problems.push(`${shown(inner)}: a default cannot contain another reference`);
    else return valueOf(inner, sources, problems);
    return '';
  };
  return { text: text.replace(REFERENCE, resolve), problems };
}

function valueOf(inner: string, { env, readFile }: InterpolationSources, problems: string[]): string {
  const path = FILE.exec(inner)?.[1];
  if (path !== undefined) {
    try {
      return readFile(path).replace(/\r?\n$/, '');
    } catch (error) {
      problems.push(`cannot read the file ${path}: ${reasonOf(error)}`);
      return '';
    }
  }
  const [, name, fallback] = VARIABLE.exec(inner) ?? [];
  if (name === undefined) {
    problems.push(`${shown(inner)} is neither \${NAME}, \${NAME:-default} nor \${file:/path}`);
    return '';
  }
  const value = env[name];
  if (value === undefined && fallback === undefined) problems.push(`the environment variable ${name} is not set`);
  return (fallback === undefined ? value : value || fallback) ?? '';
}

/** `ENOENT`, `EACCES`, …: the code where there is one, since the message repeats the path. */
export function reasonOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  return 'code' in error && typeof error.code === 'string' ? error.code : error.message;
}

/** Only the name: what follows it may be a secret. */
function shown(inner: string): string {
  return `"\${${/^\w*/.exec(inner)?.[0] ?? ''}…"`;
}
