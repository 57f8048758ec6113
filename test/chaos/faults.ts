import type { Role } from '../../shared/subjects.ts';
import type { Restartable } from '../support/restartable.ts';
import type { System } from './system.ts';

/**
 * The worst that a request may meet with.
 * - `served`: nobody notices
 * - `begun`: streams that had begun end with an error event; nobody else notices
 * - `clean`: an error object or an error event
 * - `cut`: its connection ends
 */
export type Worst = 'served' | 'begun' | 'clean' | 'cut';

export interface Blow {
  /** The ingress that was struck: the clients of another notice nothing. */
  readonly url?: string;
  /** Makes the system as it was. */
  mend(): Promise<void>;
}

/** One way to break the gateway or what it stands on; a row of the table. */
export interface Fault {
  readonly name: string;
  readonly what: string;
  readonly worst: Worst;
  /** The fault is over with the blow, and what is left must do without whom it hit; else it lasts until it is mended. */
  readonly isInstant: boolean;
  readonly needs: 'redis' | 'cluster' | undefined;
  strike(system: System): Promise<Blow>;
}

export const FAULTS: readonly Fault[] = [
  fault('nothing', 'nothing: what the others are to be compared with', 'served', () => blow(() => undefined)),

  provider('provider-429', 'the first provider answers 429 with Retry-After', 'served', 'seq=429&ra=1'),
  provider('provider-500', 'the first provider answers 500', 'served', 'seq=500'),
  provider('provider-hangs', 'the first provider accepts, and never answers', 'served', 'seq=hang'),
  provider('provider-resets', 'the first provider resets the connection', 'served', 'seq=reset'),
  provider('provider-cuts', 'the first provider ends each answer in its middle', 'begun', 'seq=cut'),
  provider(
    'provider-trickles',
    'the first provider sends a token, or a sixteenth of the answer, every 2 s',
    'begun',
    'seq=ok,trickle&itl=2000',
  ),

  killed('worker', 'begun'),
  stopped('worker', 'begun'),
  killed('router', 'served'),
  stopped('router', 'served'),
  killed('ingress', 'cut'),
  stopped('ingress', 'clean'),
  {
    ...fault('ledger-killed', 'kill -9 of the only ledger; another is started', 'served', async ({ gateway }) => {
      await gateway.one('ledger').kill9();
      return blow(() => gateway.add('ledger'));
    }),
  },

  fault('postgres-stopped', 'Postgres is stopped, and started again', 'served', async ({ postgres }) => {
    await postgres.stop();
    return blow(() => postgres.startAgain());
  }),
  {
    ...fault('redis-stopped', 'Redis is stopped, and started again', 'served', async ({ redis }) => {
      await redis?.stop();
      return blow(() => redis?.startAgain());
    }),
    needs: 'redis',
  },
  fault('nats-restarted', 'kill -9 of the only nats-server; started again on its store', 'clean', async ({ nats }) => {
    const server = first(nats);
    await server.kill9();
    return blow(() => server.startAgain());
  }),
  {
    ...fault(
      'nats-failover',
      'kill -9 of that one of three nats-servers which every service is connected to',
      'clean',
      async ({ nats }) => {
        const server = first(nats);
        await server.kill9();
        return blow(() => server.startAgain());
      },
    ),
    isInstant: true,
    needs: 'cluster',
  },
];

function fault(name: string, what: string, worst: Worst, strike: (system: System) => Blow | Promise<Blow>): Fault {
  return { name, what, worst, isInstant: false, needs: undefined, strike: async (system) => strike(system) };
}

function provider(name: string, what: string, worst: Worst, script: string): Fault {
  return fault(name, what, worst, ({ provider }) => {
    provider.configure(script);
    return blow(() => provider.configure(''));
  });
}

function killed(role: Role, worst: Worst): Fault {
  const what = `kill -9 of one ${role} of two; another is started later`;
  const strike = async ({ gateway }: System): Promise<Blow> => {
    const victim = gateway.one(role);
    await victim.kill9();
    return blow(() => gateway.add(role), victim.url);
  };
  return { ...fault(`${role}-killed`, what, worst, strike), isInstant: true };
}

function stopped(role: Role, worst: Worst): Fault {
  return fault(`${role}-stopped`, `SIGSTOP of one ${role} of two, then SIGCONT`, worst, ({ gateway }) => {
    const victim = gateway.one(role);
    victim.stop();
    return blow(() => victim.cont(), victim.url);
  });
}

/** @param url '' when it was no ingress */
function blow(mend: () => unknown, url = ''): Blow {
  return {
    ...(url === '' ? {} : { url }),
    mend: async () => {
      await mend();
    },
  };
}

function first(servers: readonly Restartable[]): Restartable {
  const [server] = servers;
  if (server === undefined) throw new Error('there is no nats-server');
  return server;
}
