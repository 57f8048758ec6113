import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { spawnServer } from '../../infra/servers/process.ts';
import type { ServerProcess } from '../../infra/servers/process.ts';
import { settled } from './settled.ts';

const CLI = join(import.meta.dirname, '../../infra/sluice.ts');
/** Eight processes that load TypeScript at once on a busy machine of two cores take this long at worst. */
const READY_WITHIN_MS = 30_000;
const KEPT_LINES = 400;

export interface SpawnOptions {
  readonly args?: readonly string[];
  /** On top of what every process needs; nothing of the tests' own environment but `PATH` and its like gets in. */
  readonly env?: Readonly<Record<string, string>>;
  readonly cwd: string;
}

/** A `sluice` command as a process of its own. It dies with the test process, however that ends. */
export interface SluiceProcess {
  readonly command: string;
  readonly pid: number;
  /** Its log, parsed where it is JSON, and the rest as text: the last lines of both. */
  readonly lines: readonly string[];
  /** How it ended: `exit code 0`, `signal SIGKILL`. */
  readonly exited: Promise<string>;
  /** The first log line with this message. @throws Error when it ends before or does not come in time */
  logged(message: string, timeoutMs?: number): Promise<LogLine>;
  /** The first text on stdout or stderr that matches, over all lines so far and to come. */
  said(pattern: RegExp, timeoutMs?: number): Promise<RegExpExecArray>;
  /** SIGKILL; resolves when it is gone. */
  kill9(): Promise<void>;
  /** SIGSTOP: it hangs, and the system goes on holding its connections. */
  stop(): void;
  /** SIGCONT. */
  cont(): void;
  /** SIGTERM; resolves with how it ended. */
  term(): Promise<string>;
  signal(signal: NodeJS.Signals): void;
}

export interface LogLine {
  readonly msg: string;
  readonly level: number;
  readonly [field: string]: unknown;
}

/** All processes of one test file and the folder they run in; `killAll()` it in `afterAll`. */
export class Processes {
  readonly folder: string;
  readonly #running = new Set<SluiceProcess>();

  static async make(): Promise<Processes> {
    return new Processes(await mkdtemp(join(tmpdir(), 'sluice-test-')));
  }

  private constructor(folder: string) {
    this.folder = folder;
  }

  /** Writes a configuration into the folder; answers its path. */
  async config(yaml: string, name = 'sluice.yaml'): Promise<string> {
    const path = join(this.folder, name);
    await writeFile(path, yaml);
    return path;
  }

  async spawn(command: string, { args = [], env = {}, cwd }: SpawnOptions): Promise<SluiceProcess> {
    const child = await spawnSluice(command, { args, env, cwd });
    this.#running.add(child);
    void child.exited.then(() => this.#running.delete(child));
    return child;
  }

  async killRunning(): Promise<void> {
    await Promise.all([...this.#running].map((child) => child.kill9()));
  }

  async killAll(): Promise<void> {
    await this.killRunning();
    await rm(this.folder, { recursive: true, force: true });
  }
}

/** What a program needs of the environment that it runs in; keys of providers that a developer has set must not get in. */
const PASSED_ON = /^(PATH|HOME|TMPDIR|TEMP|TMP|USER|LANG|LC_.*|XDG_.*|NATS_SERVER_BIN|SLUICE_CACHE_DIR)$/;

async function spawnSluice(command: string, { args, env, cwd }: Required<SpawnOptions>): Promise<SluiceProcess> {
  const passed = Object.entries(process.env).filter(([name]) => PASSED_ON.test(name));
  const lines: string[] = [];
  const listeners = new Set<() => void>();
  const child = await spawnServer({
    name: `sluice ${command}`,
    command: process.execPath,
    args: [CLI, command, ...args],
    cwd,
    env: { ...Object.fromEntries(passed), NO_COLOR: '1', ...env },
    deathSignal: 'SIGKILL',
    log: {
      debug: (fields: unknown) => {
        lines.push((fields as { line: string }).line);
        if (lines.length > KEPT_LINES) lines.shift();
        for (const listener of [...listeners]) listener();
      },
    },
  });
  const firstOf = <T>(what: string, find: (line: string) => T | undefined, timeoutMs: number): Promise<T> =>
    new Promise((resolve, reject) => {
      let looked = 0;
      const finish = (end: () => void): void => {
        clearTimeout(timer);
        listeners.delete(look);
        end();
      };
      const fail = (why: string): void =>
        finish(() => reject(new Error(`sluice ${command} ${why} before ${what}:\n${lines.join('\n')}`)));
      const look = (): void => {
        // Lines come one at a time, so only the last one is new, but for the first look.
        for (const line of looked++ === 0 ? lines : lines.slice(-1)) {
          const found = find(line);
          if (found !== undefined) return finish(() => resolve(found));
        }
      };
      const timer = setTimeout(() => fail('said nothing'), timeoutMs);
      listeners.add(look);
      look();
      void child.exited.then((how) => fail(`ended (${how})`));
    });
  return describe(command, child, lines, firstOf);
}

type FirstOf = <T>(what: string, find: (line: string) => T | undefined, timeoutMs: number) => Promise<T>;

function describe(command: string, child: ServerProcess, lines: readonly string[], firstOf: FirstOf): SluiceProcess {
  const signal = (name: NodeJS.Signals): void => {
    if (child.ending === undefined) process.kill(child.pid, name);
  };
  return {
    command,
    pid: child.pid,
    lines,
    exited: child.exited,
    logged: (message, timeoutMs = READY_WITHIN_MS) =>
      firstOf(`"${message}"`, (line) => messageOf(line, message), timeoutMs),
    said: (pattern, timeoutMs = READY_WITHIN_MS) =>
      firstOf(String(pattern), (line) => pattern.exec(line) ?? undefined, timeoutMs),
    kill9: async () => {
      signal('SIGKILL');
      await child.exited;
    },
    stop: () => signal('SIGSTOP'),
    cont: () => signal('SIGCONT'),
    term: () => {
      signal('SIGTERM');
      return settled(child.exited, 45_000, `sluice ${command} after SIGTERM`);
    },
    signal,
  };
}

function messageOf(line: string, message: string): LogLine | undefined {
  if (!line.startsWith('{')) return undefined;
  try {
    const parsed = JSON.parse(line) as LogLine;
    return parsed.msg === message ? parsed : undefined;
  } catch {
    // A line that was cut for its length.
    return undefined;
  }
}
