import { ConfigError, formatProblem } from '../../shared/config.ts';
import type { Config } from '../../shared/config.ts';
import { readRunningGateway } from '../running-gateway.ts';
import { fail, ok } from './check.ts';
import type { Check } from './check.ts';
import { checkDataDir, checkNode, checkPort } from './machine.ts';
import { checkNats } from './nats.ts';
import { checkPostgres } from './postgres.ts';
import { checkProviders } from './providers.ts';
import { checkRedis } from './redis.ts';

export interface ExamineOptions {
  readonly loadConfig: () => Promise<Config>;
  readonly env: NodeJS.ProcessEnv;
  /** Whether the providers are asked over the network. */
  readonly isOnline: boolean;
}

/** Everything a gateway depends on, looked at at once, in the order in which it is to be mended. */
export async function examine({ loadConfig, env, isOnline }: ExamineOptions): Promise<Check[]> {
  let config: Config;
  try {
    config = await loadConfig();
  } catch (failure) {
    if (!(failure instanceof ConfigError)) throw failure;
    const { file, problems } = failure;
    // What the rest depends on is not known.
    const broken = problems.map((problem) =>
      fail('config', formatProblem(file, problem), 'mend it; `sluice config check` looks again'),
    );
    return [checkNode(), ...broken];
  }
  const gateway = await readRunningGateway(config.dataDir);
  const patient = { config, gateway };
  const checks = await Promise.all([
    checkNats(patient, env),
    checkPostgres(patient),
    checkRedis(patient),
    checkDataDir(patient),
    checkPort(patient),
    checkProviders(patient, isOnline),
  ]);
  const running =
    gateway === undefined
      ? []
      : [ok('gateway', `runs as process ${gateway.pid} at ${gateway.url} since ${gateway.startedAt}`)];
  return [checkNode(), ok('config', config.file ?? 'no file: environment and defaults'), ...running, ...checks.flat()];
}
