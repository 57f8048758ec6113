/**
 * HTTP/1.1 load generator: one process, one JSON line on stdout.
 * `node test/bench/loadgen.ts -url U -H 'k: v' -body '{…{{seq}}…}' (-c 64 | -rate 500) (-d 10s | -n 1000) [-stream -expect 64]`
 */
import { spawn } from 'node:child_process';
import { text } from 'node:stream/consumers';
import { fileURLToPath } from 'node:url';
import { Client } from './loadgen/client.ts';
import { Clients, closedLoop, openLoop } from './loadgen/loops.ts';
import { parseLoad, toArguments } from './loadgen/options.ts';
import type { LoadOptions } from './loadgen/options.ts';
import { RequestBytes } from './loadgen/request.ts';
import type { LoadResult } from './loadgen/tally.ts';

export type { LoadOptions } from './loadgen/options.ts';
export type { Distribution } from './loadgen/samples.ts';
export type { LoadResult, StreamResult } from './loadgen/tally.ts';

/** Runs the load in a process of its own; rejects with its error output when it fails. */
export async function runLoad(options: LoadOptions): Promise<LoadResult> {
  const child = spawn(process.execPath, [fileURLToPath(import.meta.url), ...toArguments(options)], {
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  const exit = new Promise<number | null>((resolve, reject) => {
    child.once('error', reject);
    child.once('exit', resolve);
  });
  const [output, problems, code] = await Promise.all([text(child.stdout), text(child.stderr), exit]);
  if (code !== 0) throw new Error(`loadgen ended with ${code}: ${problems}`);
  return JSON.parse(output) as LoadResult;
}

async function main(args: readonly string[]): Promise<void> {
  const load = parseLoad(args);
  const clients = new Clients(load, new RequestBytes(load));
  const loop = load.rate > 0 ? openLoop : closedLoop;
  if (load.warmupMs > 0) await loop(clients, load, load.warmupMs, 0);
  const before = process.cpuUsage();
  const { tally, seconds } = await loop(clients, load, load.durationMs, load.requests);
  const cpu = process.cpuUsage(before);
  clients.close();
  console.log(JSON.stringify(tally.result(load, seconds, (cpu.user + cpu.system) / 1e6, Client.dials)));
}

if (import.meta.main) await main(process.argv.slice(2));
