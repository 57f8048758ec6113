import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { defaultCacheDir } from '../../infra/servers/cache-dir.ts';
import { findNatsServer } from '../../infra/servers/nats-binary.ts';
import { natsReady } from '../../infra/servers/nats-ready.ts';
import { freePort, LOOPBACK, waitUntilReady } from '../../infra/servers/port.ts';
import { spawnServer } from '../../infra/servers/process.ts';
import type { StopStep } from '../../infra/servers/process.ts';
import { createLog } from '../../shared/log.ts';
import { Restartable } from './restartable.ts';
import type { OwnServer } from './restartable.ts';

const SERVERS = 3;
const LOGIN = { user: 'sluice', password: 'of-a-test-cluster' };
/** A leader is elected within ten seconds; three servers that start on two cores take their time. */
const READY_WITHIN_MS = 60_000;
const STOP: StopStep = ['SIGTERM', 5_000];

interface Member {
  readonly name: string;
  readonly port: number;
  readonly clusterPort: number;
}

/** Three nats-servers with JetStream that know of each other; resolves when JetStream answers at each. @param folder theirs */
export async function startNatsCluster(folder: string): Promise<Restartable[]> {
  const members = await Promise.all(Array.from({ length: SERVERS }, (_, index) => makeMember(`n${index + 1}`)));
  return Promise.all(members.map((member) => Restartable.start(() => startMember(member, members, folder))));
}

async function makeMember(name: string): Promise<Member> {
  return { name, port: await freePort(), clusterPort: await freePort() };
}

async function startMember(member: Member, members: readonly Member[], folder: string): Promise<OwnServer> {
  const { name, port } = member;
  const log = createLog('silent', 'test-servers');
  const binary = await findNatsServer({ cacheDir: defaultCacheDir(process.env), env: process.env, log });
  const home = join(folder, name);
  await mkdir(home, { recursive: true });
  await writeFile(join(home, 'nats.conf'), confOf(member, members, home));
  const child = await spawnServer({
    name: `nats-server ${name}`,
    command: binary.path,
    args: ['-c', join(home, 'nats.conf')],
    deathSignal: 'SIGKILL',
    log,
  });
  const stop = (): Promise<void> => child.stop(STOP);
  try {
    await waitUntilReady({ name: `nats-server ${name}`, process: child, timeoutMs: READY_WITHIN_MS }, () =>
      natsReady({ port, ...LOGIN }),
    );
  } catch (cause) {
    await stop();
    throw cause;
  }
  const url = `nats://${LOGIN.user}:${LOGIN.password}@${LOOPBACK}:${port}`;
  return { url, port, pid: child.pid, version: binary.version, exited: child.exited, stop };
}

/** JSON strings are valid in this format. */
function confOf({ name, port, clusterPort }: Member, members: readonly Member[], home: string): string {
  const routes = members
    .filter((member) => member.name !== name)
    .map((member) => `"nats-route://${LOOPBACK}:${member.clusterPort}"`);
  return `listen: "${LOOPBACK}:${port}"
server_name: "${name}"
authorization { user: "${LOGIN.user}", password: "${LOGIN.password}" }
jetstream { store_dir: ${JSON.stringify(join(home, 'store'))}, max_file_store: ${8 * 2 ** 30} }
cluster { name: "sluice", listen: "${LOOPBACK}:${clusterPort}", routes: [${routes.join(', ')}] }
`;
}
