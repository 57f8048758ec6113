/** The processes of a run: provider, yardstick, gateway. They die with it, also by `kill -9`. */
import { spawnServer } from '../../infra/servers/process.ts';

export interface Child {
  readonly name: string;
  readonly pid: number;
  /** Resolves with the first line, past or to come, that matches. Throws when the process ends before it. */
  line(pattern: RegExp, timeoutMs?: number): Promise<RegExpExecArray>;
  /** undefined while it runs. */
  readonly ending: string | undefined;
  lastLines(): string;
  stop(): Promise<void>;
}

/** Enough for the lines that tell of a start. */
const KEPT_LINES = 200;
const STOP_WITHIN_MS = 30_000;

/** Runs `node <args>` with this Node. */
export async function startNode(
  name: string,
  args: readonly string[],
  options: { env?: NodeJS.ProcessEnv; cwd?: string } = {},
): Promise<Child> {
  const lines: string[] = [];
  const listeners = new Set<(line: string) => void>();
  const log = {
    debug: (said: { line?: string }): void => {
      const line = said.line ?? '';
      if (lines.length < KEPT_LINES) lines.push(line);
      for (const listener of listeners) listener(line);
    },
  };
  const child = await spawnServer({
    name,
    command: process.execPath,
    args,
    deathSignal: 'SIGTERM',
    log: log as Parameters<typeof spawnServer>[0]['log'],
    ...options,
  });
  return {
    name,
    pid: child.pid,
    get ending() {
      return child.ending;
    },
    lastLines: () => child.lastLines(),
    line: (pattern, timeoutMs = 30_000) =>
      new Promise((resolve, reject) => {
        const settle = (found: RegExpExecArray | undefined, why: string): void => {
          listeners.delete(look);
          clearTimeout(timer);
          if (found === undefined) reject(new Error(`${name} ${why}:\n${child.lastLines()}`));
          else resolve(found);
        };
        const look = (line: string): void => {
          const found = pattern.exec(line);
          if (found !== null) settle(found, '');
        };
        const timer = setTimeout(() => settle(undefined, `did not say ${pattern}`), timeoutMs);
        listeners.add(look);
        void child.exited.then((ending) => settle(undefined, `ended (${ending})`));
        for (const line of lines) look(line);
      }),
    stop: () => child.stop(['SIGTERM', STOP_WITHIN_MS]),
  };
}
