import { randomUUID } from 'node:crypto';
import { mkdir, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { z } from 'zod';
import { isErrno } from './servers/errno.ts';
import { identify } from './servers/identity.ts';

/** How the command line reaches the gateway that runs on this data folder. Holds passwords: mode 0600. */
const RunningGateway = z.looseObject({
  pid: z.int().positive(),
  /** The start of that process in the system's own notation: a pid is given away again. */
  processStartedAt: z.string(),
  url: z.string(),
  natsUrl: z.string(),
  databaseUrl: z.string(),
  /** ISO 8601. */
  startedAt: z.string(),
});
export type RunningGateway = Readonly<z.infer<typeof RunningGateway>>;

/** What the gateway tells of itself; the rest is found out. */
export type GatewayAddresses = Pick<RunningGateway, 'url' | 'natsUrl' | 'databaseUrl' | 'startedAt'>;

/** Written by the gateway once it is ready; appears complete or not at all. */
export async function writeRunningGateway(dataDir: string, addresses: GatewayAddresses): Promise<void> {
  const self = await identify(process.pid);
  const content: RunningGateway = { pid: process.pid, processStartedAt: self?.startedAt ?? '', ...addresses };
  await mkdir(dataDir, { recursive: true });
  const temporary = `${fileIn(dataDir)}.${randomUUID()}`;
  await writeFile(temporary, `${JSON.stringify(content, null, 2)}\n`, { flag: 'wx', mode: 0o600 });
  await rename(temporary, fileIn(dataDir));
}

/** The gateway that runs on this data folder; undefined when none does, also when a killed one left its file. */
export async function readRunningGateway(dataDir: string): Promise<RunningGateway | undefined> {
  const gateway = await readIt(dataDir);
  if (gateway === undefined) return undefined;
  const found = await identify(gateway.pid);
  return found?.startedAt === gateway.processStartedAt ? gateway : undefined;
}

/** Removed by the gateway that wrote it, at its end; another's is left alone. */
export async function removeRunningGateway(dataDir: string): Promise<void> {
  const gateway = await readIt(dataDir);
  if (gateway?.pid === process.pid) await rm(fileIn(dataDir), { force: true });
}

async function readIt(dataDir: string): Promise<RunningGateway | undefined> {
  let text: string;
  try {
    text = await readFile(fileIn(dataDir), 'utf8');
  } catch (cause) {
    if (isErrno(cause, 'ENOENT') || isErrno(cause, 'ENOTDIR')) return undefined;
    throw cause;
  }
  try {
    return RunningGateway.parse(JSON.parse(text));
  } catch {
    // Of another version, or edited: as good as none.
    return undefined;
  }
}

function fileIn(dataDir: string): string {
  return join(dataDir, 'gateway.json');
}
