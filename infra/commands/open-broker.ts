import type { Bus } from '../../shared/bus.ts';
import type { Config } from '../../shared/config.ts';
import { createLog } from '../../shared/log.ts';
import { readRunningGateway } from '../running-gateway.ts';
import { natsUnreachable } from '../unreachable.ts';
import { CommandError } from './failure.ts';

/** A broker in reach answers in milliseconds. */
const CONNECT_WAIT_MS = 2_000;

/**
 * Works on the gateway's NATS: that of the configuration, else that of the gateway running on this data folder.
 * @throws CommandError when neither is there, UnreachableError when it does not answer
 */
export async function withBroker<T>(config: Config, work: (bus: Bus) => Promise<T>): Promise<T> {
  const url = config.nats.url ?? (await readRunningGateway(config.dataDir))?.natsUrl;
  if (url === undefined) {
    throw new CommandError(
      `no gateway runs on ${config.dataDir}.\n` +
        'Start one with `sluice start`, or say where it is: --data-dir <folder>, or NATS_URL.',
    );
  }
  const { Bus } = await import('../../shared/bus.ts');
  // What these commands have to say they print themselves.
  const options = { url, name: 'sluice-cli', log: createLog('silent', 'cli'), waitMs: CONNECT_WAIT_MS };
  const bus = await Bus.connect(options).catch((cause: unknown) => {
    throw natsUnreachable(url, cause);
  });
  try {
    return await work(bus);
  } finally {
    await bus.close();
  }
}
