import { execFile, spawn } from 'node:child_process';
import { createInterface } from 'node:readline';
import { promisify } from 'node:util';
import type { Log } from '../../shared/log.ts';
import { findExecutable } from './executable.ts';

/** A server could not be started; the message says what to do about it. */
export class ServerStartError extends Error {
  override name = 'ServerStartError';
}

export interface ServerCommand {
  /** For logs and messages: `nats-server`. */
  readonly name: string;
  readonly command: string;
  readonly args: readonly string[];
  /** Put in front of the command; each of them ends in `exec`, so the pid is the server's. */
  readonly wrap?: readonly string[];
  readonly env?: NodeJS.ProcessEnv;
  readonly cwd?: string;
  readonly uid?: number;
  readonly gid?: number;
  /** What the child gets when this process dies without a word. */
  readonly deathSignal: NodeJS.Signals;
  readonly log: Pick<Log, 'debug'>;
}

/** One signal and how long to wait for it to work, before the next. */
export type StopStep = readonly [signal: NodeJS.Signals, waitMs: number];

export interface ServerProcess {
  readonly pid: number;
  /** How it ended (`exit code 1`, `signal SIGKILL`); never rejects. */
  readonly exited: Promise<string>;
  /** The end, once there is one. */
  readonly ending: string | undefined;
  /** The last lines it wrote, for error messages. */
  lastLines(): string;
  /** Goes through the steps, then SIGKILL; resolves when the process is gone. */
  stop(...steps: StopStep[]): Promise<void>;
}

/** Enough to hold a server's complaint and its context; older lines are dropped. */
const KEPT_LINES = 50;
const LINE_CHARACTERS = 1_000;

/** Children still running: a plain `process.exit()` must not leave them behind where the kernel does not see to it. */
const running = new Map<number, NodeJS.Signals>();
process.on('exit', () => {
  for (const [pid, signal] of running) {
    try {
      process.kill(pid, signal);
    } catch {
      // It ended a moment ago: what we wanted.
    }
  }
});

/**
 * Starts a server as a child that dies with this process (on Linux even by `kill -9`: the kernel sends `deathSignal`
 * when the thread that spawned it ends). Elsewhere the next start finds the leftover by its pid file.
 */
export async function spawnServer(server: ServerCommand): Promise<ServerProcess> {
  const [command = server.command, ...args] = [
    ...(server.wrap ?? []),
    // Innermost: entering a user namespace may clear the death signal.
    ...(await deathSignalWrap(server.deathSignal)),
    server.command,
    ...server.args,
  ];
  const child = spawn(command, args, {
    // Its own process group: Ctrl-C in a terminal is for us alone; we drain first and stop the servers last.
    detached: true,
    stdio: ['ignore', 'pipe', 'pipe'],
    ...(server.env && { env: server.env }),
    ...(server.cwd !== undefined && { cwd: server.cwd }),
    ...(server.uid !== undefined && { uid: server.uid }),
    ...(server.gid !== undefined && { gid: server.gid }),
  });
  const lines: string[] = [];
  for (const stream of [child.stdout, child.stderr]) {
    createInterface({ input: stream }).on('line', (text) => {
      const line = text.slice(0, LINE_CHARACTERS);
      lines.push(line);
      if (lines.length > KEPT_LINES) lines.shift();
      server.log.debug({ server: server.name, line }, 'server output');
    });
  }
  let ending: string | undefined;
  // 'close', not 'exit': by then the last lines have been read.
  const exited = new Promise<string>((resolve) => {
    child.once('close', (code, signal) => {
      ending = signal === null ? `exit code ${code}` : `signal ${signal}`;
      if (child.pid !== undefined) running.delete(child.pid);
      resolve(ending);
    });
  });
  await new Promise<void>((resolve, reject) => {
    child.once('spawn', resolve);
    child.once('error', (cause) => {
      reject(new ServerStartError(`${server.name} could not be run: ${cause.message}`, { cause }));
    });
  });
  const pid = child.pid;
  if (pid === undefined) throw new ServerStartError(`${server.name} could not be run`);
  // A child that has ended already has a pid that may be somebody else's soon.
  if (child.exitCode === null && child.signalCode === null) running.set(pid, server.deathSignal);

  return {
    pid,
    exited,
    get ending() {
      return ending;
    },
    lastLines: () => lines.join('\n'),
    stop: (...steps) =>
      escalate(steps, {
        send: (signal) => child.kill(signal),
        isGone: (waitMs) => settlesWithin(exited, waitMs),
      }),
  };
}

/** Signals until the process is gone; SIGKILL is always the last step. */
export async function escalate(
  steps: readonly StopStep[],
  target: { send(signal: NodeJS.Signals): unknown; isGone(waitMs: number): Promise<boolean> },
): Promise<void> {
  if (await target.isGone(0)) return;
  for (const [signal, waitMs] of [...steps, ['SIGKILL', 5_000] satisfies StopStep]) {
    target.send(signal);
    if (await target.isGone(waitMs)) return;
  }
  // Only a process in uninterruptible sleep (a dead disk, a dead network mount) survives SIGKILL.
  throw new Error('a server process survived SIGKILL; its disk may be hanging');
}

const execFileAsync = promisify(execFile);

/** Runs a tool to its end. A failure's message carries the end of what it said. */
export async function runTool(
  command: string,
  args: readonly string[],
  options: { cwd?: string; env?: NodeJS.ProcessEnv; timeoutMs?: number } = {},
): Promise<string> {
  const { timeoutMs = 60_000, ...rest } = options;
  try {
    const { stdout } = await execFileAsync(command, args, { ...rest, timeout: timeoutMs, maxBuffer: 8 << 20 });
    return stdout;
  } catch (cause) {
    const stderr = cause instanceof Error && 'stderr' in cause ? String(cause.stderr).trim() : '';
    const said = stderr === '' ? String(cause) : stderr;
    throw new Error(`${command} failed: ${said.slice(-1_000)}`, { cause });
  }
}

async function settlesWithin(promise: Promise<unknown>, waitMs: number): Promise<boolean> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<boolean>((resolve) => {
    timer = setTimeout(() => resolve(false), waitMs);
  });
  const settled = await Promise.race([promise.then(() => true), late]);
  clearTimeout(timer);
  return settled;
}

let setpriv: Promise<string | undefined> | undefined;

async function deathSignalWrap(signal: NodeJS.Signals): Promise<string[]> {
  if (process.platform !== 'linux') return [];
  setpriv ??= findSetpriv();
  const path = await setpriv;
  return path === undefined ? [] : [path, '--pdeathsig', signal.replace(/^SIG/, ''), '--'];
}

/** util-linux has it since 2.34; busybox has a setpriv without it. */
async function findSetpriv(): Promise<string | undefined> {
  const path = await findExecutable('setpriv', process.env);
  if (path === undefined) return undefined;
  const help = await runTool(path, ['--help']).catch(() => '');
  return help.includes('--pdeathsig') ? path : undefined;
}
