/** CPU time and memory of processes, from Linux' /proc. Elsewhere every answer is undefined: "n/a" in the report. */
import { readdirSync, readFileSync } from 'node:fs';

/** Of /proc/<pid>/stat and /proc/stat: USER_HZ is 100 on every architecture Linux runs on. */
const NS_PER_TICK = 10_000_000;
/** Of /proc/<pid>/statm. Larger pages exist on some ARM kernels: figures are then too small by that factor. */
const PAGE_BYTES = 4_096;

export interface ProcessEntry {
  readonly pid: number;
  readonly parent: number;
  /** As the kernel has it: at most 15 characters of the program's name. */
  readonly name: string;
}

/** `root` and everything below it; empty when there is no /proc. */
export function processTree(root: number): ProcessEntry[] {
  const entries = allProcesses();
  const found = entries.filter(({ pid }) => pid === root);
  for (let at = 0; at < found.length; at++) {
    const parent = found[at]?.pid;
    found.push(...entries.filter((entry) => entry.parent === parent));
  }
  return found;
}

function allProcesses(): ProcessEntry[] {
  let names: string[];
  try {
    names = readdirSync('/proc');
  } catch {
    return []; // Not Linux.
  }
  return names.flatMap((name) => {
    const pid = Number(name);
    const stat = Number.isNaN(pid) ? undefined : readStat(pid);
    return stat === undefined ? [] : [{ pid, parent: Number(stat.fields[1]), name: stat.name }];
  });
}

/** Of the process itself, all threads. Threads that have ended are missing: none of ours do. */
export function cpuNs(pid: number): number | undefined {
  try {
    let sum = 0;
    for (const thread of readdirSync(`/proc/${pid}/task`)) {
      sum += Number(readFileSync(`/proc/${pid}/task/${thread}/schedstat`, 'latin1').split(' ', 1)[0]);
    }
    return sum;
  } catch {
    // A kernel without scheduler statistics, or a thread that ended meanwhile: ticks of 10 ms will have to do.
    const fields = readStat(pid)?.fields;
    return fields === undefined ? undefined : (Number(fields[11]) + Number(fields[12])) * NS_PER_TICK;
  }
}

/** Of its children that have ended, with theirs. */
export function reapedCpuNs(pid: number): number {
  const fields = readStat(pid)?.fields;
  return fields === undefined ? 0 : (Number(fields[13]) + Number(fields[14])) * NS_PER_TICK;
}

export function residentBytes(pid: number): number | undefined {
  try {
    return Number(readFileSync(`/proc/${pid}/statm`, 'latin1').split(' ')[1]) * PAGE_BYTES;
  } catch {
    return undefined; // Gone, or not Linux.
  }
}

/** Of the whole machine since its start: everything but idle and waiting for disks. */
export function machineBusyNs(): number | undefined {
  try {
    const [, ...ticks] = (readFileSync('/proc/stat', 'latin1').split('\n', 1)[0] ?? '').split(/\s+/).map(Number);
    const [user = 0, nice = 0, system = 0, , , interrupts = 0, soft = 0, steal = 0] = ticks;
    return (user + nice + system + interrupts + soft + steal) * NS_PER_TICK;
  } catch {
    return undefined;
  }
}

/** `fields` begins with the state: field 3 of proc(5). The name before it may hold spaces and brackets. */
function readStat(pid: number): { name: string; fields: string[] } | undefined {
  try {
    const text = readFileSync(`/proc/${pid}/stat`, 'latin1');
    const end = text.lastIndexOf(')');
    return { name: text.slice(text.indexOf('(') + 1, end), fields: text.slice(end + 2).split(' ') };
  } catch {
    return undefined;
  }
}
