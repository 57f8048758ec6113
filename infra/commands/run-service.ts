import type { Command } from 'commander';
import type { Registry } from 'prom-client';
import { systemClock } from '../../shared/clock.ts';
import type { Config } from '../../shared/config.ts';
import type { Role } from '../../shared/subjects.ts';
import type { MetricsServer } from '../metrics-server.ts';
import type { RunningService, RunOptions } from '../services.ts';
import { untilSignal } from '../until-signal.ts';
import { withoutCredentials } from '../unreachable.ts';
import { CommandError } from './failure.ts';
import { loadCommandConfig, portNumber, withConfigOptions } from './options.ts';
import type { ConfigFlags } from './options.ts';

export interface ServiceFlags extends ConfigFlags {
  readonly metricsPort?: number;
  readonly metricsHost?: string;
}

/** What the commands of the services without an HTTP door of their own take. */
export function withServiceOptions(command: Command): Command {
  return withConfigOptions(command, 'logLevel')
    .option(
      '--metrics-port <port>',
      'serve /metrics, /health/live and /health/ready here (SLUICE_METRICS_PORT)',
      portNumber,
    )
    .option('--metrics-host <host>', 'on this address (SLUICE_METRICS_HOST; default: 127.0.0.1)');
}

/** Runs one service until a signal comes, and then drains it. */
export async function runService(
  role: Role,
  flags: ServiceFlags,
  run: (options: RunOptions) => Promise<RunningService>,
): Promise<void> {
  const config = await loadCommandConfig(flags);
  const natsUrl = neededUrl(config, role, 'nats');
  const { collectDefaultMetrics, Registry } = await import('prom-client');
  const { createLog, endLog } = await import('../../shared/log.ts');
  const registry = new Registry();
  collectDefaultMetrics({ register: registry });
  const log = createLog(config.logging.level, role);
  let service: RunningService | undefined;
  const metrics = await metricsServer(flags, registry, () => service);
  try {
    service = await run({ config, natsUrl, clock: systemClock, log, registry });
    const { id } = service;
    const url = 'url' in service ? service.url : undefined;
    log.info(
      { id, url, nats: natsUrl.split(',').map(withoutCredentials).join(','), metrics: metrics?.url, pid: process.pid },
      'ready',
    );
    await untilSignal(async (signal) => {
      log.info({ id, signal }, 'stopping');
      await service?.stop();
      log.info({ id }, 'stopped');
      await endLog(log);
    });
  } finally {
    await metrics?.stop();
  }
}

async function metricsServer(
  flags: ServiceFlags,
  registry: Registry,
  service: () => RunningService | undefined,
): Promise<MetricsServer | undefined> {
  const port = flags.metricsPort ?? portOf(process.env['SLUICE_METRICS_PORT']);
  if (port === undefined) return undefined;
  const host = flags.metricsHost ?? (process.env['SLUICE_METRICS_HOST'] || '127.0.0.1');
  const notReady = async (): Promise<string | null> => service()?.notReady() ?? 'starting';
  const { startMetricsServer } = await import('../metrics-server.ts');
  return startMetricsServer({ host, port, registry, notReady });
}

function portOf(text: string | undefined): number | undefined {
  if (!text) return undefined;
  if (/^\d+$/.test(text) && Number(text) <= 65_535) return Number(text);
  throw new CommandError(`SLUICE_METRICS_PORT=${text} is not a port: a number from 0 to 65535.`);
}

/** @throws CommandError that says what to set */
export function neededUrl(config: Config, role: Role, server: 'nats' | 'database'): string {
  const { url } = config[server];
  if (url !== undefined) return url;
  const [name, variable, example] =
    server === 'nats'
      ? ['NATS server', 'NATS_URL', 'nats://user:password@host:4222']
      : ['Postgres database', 'DATABASE_URL', 'postgres://user:password@host:5432/sluice'];
  throw new CommandError(
    `the ${role} needs a ${name}, and none is set.\n` +
      `Set ${variable}=${example} (or ${server}.url in the configuration).\n` +
      'For everything in one process, with servers of its own: `sluice start`.',
  );
}
