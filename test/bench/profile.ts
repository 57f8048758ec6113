/** What a .cpuprofile says: self time by function and by package. */

interface ProfileNode {
  readonly id: number;
  readonly callFrame: { readonly functionName: string; readonly url: string; readonly lineNumber: number };
}

/** The format of V8's CPU profiler; Chrome's and VS Code's viewers open it. */
export interface CpuProfile {
  readonly nodes: readonly ProfileNode[];
  readonly samples?: readonly number[];
  /** Microseconds between samples. */
  readonly timeDeltas?: readonly number[];
}

export interface Share {
  readonly name: string;
  readonly selfMs: number;
  /** Of the time that was not idle. */
  readonly ratio: number;
}

export interface ProfileSummary {
  readonly busyMs: number;
  readonly functions: readonly Share[];
  readonly packages: readonly Share[];
}

export function summarise(profile: CpuProfile, top: number): ProfileSummary {
  const nodes = new Map(profile.nodes.map((node) => [node.id, node.callFrame]));
  const functions = new Map<string, number>();
  const packages = new Map<string, number>();
  let busyMs = 0;
  for (const [index, id] of (profile.samples ?? []).entries()) {
    const frame = nodes.get(id);
    if (frame === undefined || frame.functionName === '(idle)') continue;
    const selfMs = (profile.timeDeltas?.[index] ?? 0) / 1_000;
    busyMs += selfMs;
    const where = packageOf(frame.url, frame.functionName);
    add(functions, `${frame.functionName || '(anonymous)'} ${placeOf(frame.url, frame.lineNumber)}`.trim(), selfMs);
    add(packages, where, selfMs);
  }
  const ranked = (by: ReadonlyMap<string, number>): Share[] =>
    [...by]
      .map(([name, selfMs]) => ({ name, selfMs, ratio: selfMs / busyMs }))
      .toSorted((a, b) => b.selfMs - a.selfMs)
      .slice(0, top);
  return { busyMs, functions: ranked(functions), packages: ranked(packages) };
}

function add(sums: Map<string, number>, name: string, value: number): void {
  sums.set(name, (sums.get(name) ?? 0) + value);
}

/** `nats`, `node:http`, `services/ingress`; `(garbage collector)` and `(program)` (native code, system calls) stand for themselves. */
function packageOf(url: string, functionName: string): string {
  if (url === '') return functionName.startsWith('(') ? functionName : 'V8 built-ins';
  const dependency = /\/node_modules\/((?:@[^/]+\/)?[^/]+)\/(?!.*\/node_modules\/)/.exec(url);
  if (dependency !== null) return dependency[1] ?? '';
  if (url.startsWith('node:')) return url.replace(/^(node:(?:internal\/)?[^/]+).*$/, '$1');
  const own = /\/((?:services\/[^/]+|shared|infra))\//.exec(url);
  return own?.[1] ?? 'other';
}

function placeOf(url: string, line: number): string {
  if (url === '') return '';
  const short = url
    .replace(/^file:\/\//, '')
    .replace(/^.*\/node_modules\//, '')
    .replace(/^.*?\/((?:services|shared|infra)\/)/, '$1');
  return `${short}:${line + 1}`;
}
