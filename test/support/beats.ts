import { Bus } from '../../shared/bus.ts';
import { createLog } from '../../shared/log.ts';
import type { DeploymentReport } from '../../shared/messages/beat.ts';
import { WorkerBeat } from '../../shared/messages/beat.ts';
import { beatWildcard } from '../../shared/subjects.ts';
import { settled } from './settled.ts';

/** What workers say of their deployments, as a router hears it. */
export class HeardBeats {
  readonly #bus: Bus;
  readonly #latest = new Map<string, WorkerBeat>();
  readonly #listeners = new Set<() => void>();

  static async listen(natsUrl: string): Promise<HeardBeats> {
    const bus = await Bus.connect({ url: natsUrl, name: 'test-beats', log: createLog('error', 'test') });
    return new HeardBeats(bus);
  }

  private constructor(bus: Bus) {
    this.#bus = bus;
    bus.onMessage(beatWildcard('worker'), WorkerBeat, (beat) => {
      this.#latest.set(beat.worker, beat);
      for (const listener of this.#listeners) listener();
    });
  }

  /** The last word on a deployment, of whichever worker speaks of it. */
  report(deployment: string): DeploymentReport | undefined {
    for (const { deployments } of this.#latest.values())
      for (const report of deployments) if (report.deployment === deployment) return report;
    return undefined;
  }

  capacity(pool: string): number | undefined {
    for (const { pools } of this.#latest.values())
      for (const each of pools) if (each.pool === pool) return each.capacity;
    return undefined;
  }

  /** Looks at every beat until one is as it should be. */
  async until(isTrue: () => boolean, timeoutMs = 5_000): Promise<void> {
    let listener: () => void = () => {};
    const heard = new Promise<void>((resolve) => {
      listener = () => {
        if (isTrue()) resolve();
      };
      this.#listeners.add(listener);
      listener();
    });
    try {
      const last = (): string => JSON.stringify([...this.#latest.values()].flatMap(({ deployments }) => deployments));
      await settled(heard, timeoutMs, 'no such beat').catch((cause: unknown) => {
        throw new Error(`no such beat; the last: ${last()}`, { cause });
      });
    } finally {
      this.#listeners.delete(listener);
    }
  }

  /** The report of a deployment, once it is as it should be. */
  async untilReport(
    deployment: string,
    isRight: (report: DeploymentReport) => boolean,
    timeoutMs?: number,
  ): Promise<DeploymentReport> {
    let found: DeploymentReport | undefined;
    await this.until(() => {
      const report = this.report(deployment);
      if (report !== undefined && isRight(report)) found = report;
      return found !== undefined;
    }, timeoutMs);
    return found as DeploymentReport;
  }

  stop(): Promise<void> {
    return this.#bus.close();
  }
}
