/** On what the figures were taken. */
import { availableParallelism, cpus, release, totalmem } from 'node:os';

export interface Machine {
  readonly cpu: string;
  readonly cores: number;
  readonly memoryGiB: number;
  readonly system: string;
  readonly node: string;
  /** undefined: no gateway ran. */
  readonly nats?: string;
  readonly postgres?: string;
}

export function describeMachine(servers: Pick<Machine, 'nats' | 'postgres'> = {}): Machine {
  return {
    cpu: cpus()[0]?.model.trim() ?? 'unknown',
    cores: availableParallelism(),
    memoryGiB: Math.round(totalmem() / 2 ** 30),
    system: `${process.platform} ${release()} ${process.arch}`,
    node: process.versions.node,
    ...servers,
  };
}
