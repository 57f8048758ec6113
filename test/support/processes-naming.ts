import { readdir, readFile } from 'node:fs/promises';
import { runTool } from '../../infra/servers/process.ts';

/** The command lines of all processes of this machine that hold `text`, such as a folder of the test's own. */
export async function processesNaming(text: string): Promise<string[]> {
  const commands = process.platform === 'linux' ? await fromProc() : await fromPs();
  return commands.filter((command) => command.includes(text));
}

async function fromProc(): Promise<string[]> {
  const pids = (await readdir('/proc')).filter((name) => /^\d+$/.test(name));
  // One that ends while we look is not there: '' names nothing.
  const read = (pid: string): Promise<string> => readFile(`/proc/${pid}/cmdline`, 'utf8').catch(() => '');
  return Promise.all(pids.map(async (pid) => `${pid} ${(await read(pid)).replaceAll('\0', ' ')}`));
}

async function fromPs(): Promise<string[]> {
  return (await runTool('ps', ['-A', '-ww', '-o', 'pid=,command='])).split('\n');
}
