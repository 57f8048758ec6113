import { setTimeout as sleep } from 'node:timers/promises';
import type { HealthPicture } from '../../services/ingress/core/health-picture.ts';
import { DeploymentWatch } from '../../services/ingress/deployment-watch.ts';
import type { Bus } from '../../shared/bus.ts';
import { systemClock } from '../../shared/clock.ts';
import type { Config } from '../../shared/config.ts';
import { configuredDeployments } from '../../shared/configured-deployments.ts';
import { ForcedStates } from '../../shared/forced-states.ts';
import { BEAT_EVERY_MS, LedgerBeat, RouterBeat, WorkerBeat } from '../../shared/messages/beat.ts';
import { StallWatch } from '../../shared/stall-watch.ts';
import { beatWildcard } from '../../shared/subjects.ts';
import { CommandError } from './failure.ts';

/** Every instance that lives has beaten twice by then. */
const ONE_ROUND_MS = 600;

export interface WatchedGateway {
  readonly forced: ForcedStates;
  /** As of now. */
  readonly picture: () => HealthPicture;
}

/**
 * Listens to the heartbeats as an ingress does, and works once everybody was heard.
 * @throws CommandError when what was forced cannot be read: a picture without it would be a wrong one
 */
export async function watchGateway<T>(
  bus: Bus,
  config: Pick<Config, 'providers' | 'routes' | 'routers'>,
  work: (gateway: WatchedGateway) => Promise<T>,
): Promise<T> {
  const forced = new ForcedStates();
  const watch = new DeploymentWatch({ clock: systemClock, forced, configured: configuredDeployments(config) });
  const subscriptions = [
    bus.onMessage(beatWildcard('worker'), WorkerBeat, (beat) => watch.onWorkerBeat(beat)),
    bus.onMessage(beatWildcard('router'), RouterBeat, (beat) => watch.onRouterBeat(beat)),
    bus.onMessage(beatWildcard('ledger'), LedgerBeat, (beat) => watch.onLedgerBeat(beat)),
  ];
  const stall = new StallWatch(BEAT_EVERY_MS, systemClock.now());
  const sweeper = setInterval(() => {
    const now = systemClock.now();
    watch.sweep(now, stall.stalledMs(now));
  }, BEAT_EVERY_MS);
  try {
    await Promise.all([startForced(forced, bus), sleep(ONE_ROUND_MS)]);
    return await work({ forced, picture: () => watch.picture() });
  } finally {
    clearInterval(sweeper);
    forced.stop();
    for (const subscription of subscriptions) subscription.unsubscribe();
  }
}

/** @throws CommandError */
export async function startForced(forced: ForcedStates, bus: Bus): Promise<void> {
  await forced.start(bus);
  if (forced.isKnown) return;
  throw new CommandError(
    'NATS answers, its JetStream does not: what is forced on deployments cannot be read.\n' +
      'Does nats-server run with -js, and has its cluster a leader?',
  );
}
