import type { HealthCheckConfig } from '../../shared/config.ts';
import { GatewayError } from '../../shared/errors.ts';
import { failureOfStatus, HealthCheckRecord, nextCheckInMs } from './core/health-check.ts';
import type { Upstream } from './upstream.ts';

export interface HealthChecksDeps {
  readonly upstream: Pick<Upstream, 'get'>;
  readonly config: HealthCheckConfig;
  readonly random: () => number;
  /** After each check: why the provider counts as failed; null: it does not. */
  readonly onChecked: (failed: string | null) => void;
}

/** Asks one provider whether it is there, over and over, one question at a time. @returns what ends it */
export function startHealthChecks({ upstream, config, random, onChecked }: HealthChecksDeps): () => void {
  const record = new HealthCheckRecord();
  let isStopped = false;
  let timer: NodeJS.Timeout | undefined;
  const check = async (): Promise<void> => {
    const failed = await upstream.get(config.path, config.timeoutMs).then(failureOfStatus, reasonOf);
    if (isStopped) return;
    onChecked(record.record(failed));
    schedule();
  };
  const schedule = (): void => {
    timer = setTimeout(() => void check(), nextCheckInMs(config.everyMs, random));
  };
  void check();
  return () => {
    isStopped = true;
    clearTimeout(timer);
  };
}

/** The error's own text names hosts and ports. */
function reasonOf(cause: unknown): string {
  const { code } = GatewayError.from(cause);
  if (code === 'upstream_timeout') return 'no answer in time';
  return code === 'upstream_unreachable' ? 'not reachable' : 'the connection broke';
}
