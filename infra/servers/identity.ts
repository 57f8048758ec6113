import { readFile } from 'node:fs/promises';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Log } from '../../shared/log.ts';
import { isErrno } from './errno.ts';
import { escalate, runTool } from './process.ts';
import type { StopStep } from './process.ts';

/** A pid alone says little: the system gives it to somebody else later, and in a container it is always the same few. */
export interface ProcessIdentity {
  readonly pid: number;
  /** In the system's own notation; equal only for the very same process. */
  readonly startedAt: string;
  /** Program and arguments, separated by spaces. */
  readonly command: string;
}

/** Who runs under that pid; undefined when nobody does (a zombie is nobody). */
export async function identify(pid: number): Promise<ProcessIdentity | undefined> {
  if (!Number.isSafeInteger(pid) || pid <= 0) return undefined;
  return process.platform === 'linux' ? identifyByProc(pid) : identifyByPs(pid);
}

/** True when every one of `words` stands among the program and its arguments, whole. */
export function runsWith(identity: ProcessIdentity, words: readonly string[]): boolean {
  return words.every((word) => ` ${identity.command} `.includes(` ${word} `));
}

/**
 * Stops what a killed parent left behind: the process under `pid`, if `words` show that it is the one we started.
 * Resolves with whether there was one.
 */
export async function stopLeftover(
  leftover: { readonly name: string; readonly pid: number; readonly words: readonly string[] },
  steps: readonly StopStep[],
  log: Pick<Log, 'warn'>,
): Promise<boolean> {
  const found = await identify(leftover.pid);
  if (found === undefined || !runsWith(found, leftover.words)) return false;
  log.warn({ server: leftover.name, pid: found.pid }, 'stopping a server left behind by an earlier run');
  const isGone = async (): Promise<boolean> => (await identify(found.pid))?.startedAt !== found.startedAt;
  await escalate(steps, {
    send: (signal) => {
      try {
        process.kill(found.pid, signal);
      } catch (cause) {
        // Gone between the look and the signal is fine; not being allowed to is not.
        if (!isErrno(cause, 'ESRCH')) throw cause;
      }
    },
    isGone: async (waitMs) => {
      const deadline = performance.now() + waitMs;
      while (!(await isGone())) {
        if (performance.now() >= deadline) return false;
        await sleep(20);
      }
      return true;
    },
  });
  return true;
}

async function identifyByProc(pid: number): Promise<ProcessIdentity | undefined> {
  try {
    const [stat, cmdline] = await Promise.all([
      readFile(`/proc/${pid}/stat`, 'utf8'),
      readFile(`/proc/${pid}/cmdline`, 'utf8'),
    ]);
    // `pid (name) state ppid …`; the name may hold spaces and brackets. Field 22 is the start in ticks since boot.
    const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
    const [state, startedAt] = [fields[0], fields[19]];
    if (startedAt === undefined || state === 'Z' || state === 'X') return undefined;
    return { pid, startedAt, command: cmdline.replaceAll('\0', ' ').trimEnd() };
  } catch (cause) {
    if (isErrno(cause, 'ENOENT') || isErrno(cause, 'ESRCH')) return undefined;
    throw cause;
  }
}

async function identifyByPs(pid: number): Promise<ProcessIdentity | undefined> {
  const output = await runTool('ps', ['-ww', '-o', 'stat=,lstart=,command=', '-p', String(pid)], {
    env: { ...process.env, LC_ALL: 'C' },
  }).catch(() => ''); // ps fails when there is no such process
  // `Ss   Fri Nov 21 00:55:12 2026 /usr/bin/program arguments`
  const match = /^\s*(\S+)\s+(\w+ +\w+ +\d+ [\d:]+ \d+)\s+(.*)$/m.exec(output);
  if (match === null || match[1]?.startsWith('Z') !== false) return undefined;
  return { pid, startedAt: match[2] ?? '', command: (match[3] ?? '').trimEnd() };
}
