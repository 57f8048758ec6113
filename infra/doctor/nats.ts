import { Bus } from '../../shared/bus.ts';
import { createLog } from '../../shared/log.ts';
import { defaultCacheDir } from '../servers/cache-dir.ts';
import { findNatsServer } from '../servers/nats-binary.ts';
import { reasonOf, withoutCredentials } from '../unreachable.ts';
import { ANSWER_TIMEOUT_MS, fail, ok } from './check.ts';
import type { Check, Patient } from './check.ts';

/** Frames and chunks are cut for it (docs/architecture.md); it is also what a server has unless told otherwise. */
const NEEDED_PAYLOAD = 1024 * 1024;
const log = createLog('silent', 'doctor');

/** The server of the configuration, else that of the running gateway, else the program that a start would run. */
export async function checkNats({ config, gateway }: Patient, env: NodeJS.ProcessEnv): Promise<Check> {
  if (config.nats.url !== undefined) return checkServer(config.nats.url, 'yours');
  if (gateway !== undefined) return checkServer(gateway.natsUrl, `embedded, of process ${gateway.pid}`);
  return checkProgram(env);
}

async function checkServer(url: string, whose: string): Promise<Check> {
  const where = url.split(',').map(withoutCredentials).join(', ');
  let bus: Bus;
  try {
    bus = await Bus.connect({ url, name: 'sluice-doctor', log, waitMs: ANSWER_TIMEOUT_MS });
  } catch (failure) {
    return fail(
      'nats',
      `${where}: ${reasonOf(failure)}`,
      'start it, or mend NATS_URL; without NATS_URL, an embedded one is used',
    );
  }
  try {
    const detail = `${bus.serverVersion} at ${where} (${whose})`;
    const kib = Math.round(bus.maxPayload / 1024);
    if (bus.maxPayload < NEEDED_PAYLOAD)
      return fail('nats', `${detail}: max_payload is ${kib} KiB`, 'set max_payload: 1MB in its configuration');
    const manager = await bus.jetStreamManager();
    await manager.getAccountInfo();
    return ok('nats', `${detail}, JetStream on, max_payload ${kib} KiB`);
  } catch (failure) {
    return fail(
      'nats',
      `${where}: JetStream does not answer (${reasonOf(failure)})`,
      'start nats-server with JetStream: -js, or `jetstream {}` in its configuration',
    );
  } finally {
    await bus.close();
  }
}

/** What is not here yet is fetched, as a start would do it: only then is it known that it can be. */
async function checkProgram(env: NodeJS.ProcessEnv): Promise<Check> {
  try {
    const { version, source, path } = await findNatsServer({ cacheDir: defaultCacheDir(env), env, log });
    const wasFetched = source === 'release' || source === 'apt';
    const detail = `nats-server ${version}, embedded (${source}: ${path})${wasFetched ? ', fetched just now' : ''}`;
    return ok('nats', detail);
  } catch (failure) {
    const [reason = '', ...todo] = (failure instanceof Error ? failure.message : String(failure)).split('\n');
    return fail('nats', reason, todo.join('\n') || 'set NATS_URL or NATS_SERVER_BIN');
  }
}
