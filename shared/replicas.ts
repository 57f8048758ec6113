import { jetStreamCodeOf } from './jetstream-failure.ts';

/** Copies that JetStream keeps where the cluster has the servers for it: one of them may be lost then. */
const WANTED = 3;

/** What JetStream says when it has no room for so many copies: no such peers, no resources, or no cluster at all. */
const TOO_FEW_SERVERS: ReadonlySet<number> = new Set([10_005, 10_023, 10_074]);

/**
 * Makes or updates a stream in three copies; where the servers for them are not there, with the copies that it has. It is
 * tried anew with each start, so a stream made while a server was down gets its copies later. Two would be worse than
 * one: with either server gone the stream would be without a majority.
 *
 * @param has copies there are already; 1 for a stream to be made. Never fewer are asked for.
 */
export async function withReplicas<T>(
  bus: { readonly isClustered: boolean },
  has: number,
  make: (replicas: number) => Promise<T>,
): Promise<T> {
  if (!bus.isClustered || has >= WANTED) return make(has);
  try {
    return await make(WANTED);
  } catch (failure) {
    if (!lacksServers(failure)) throw failure;
    return make(has);
  }
}

function lacksServers(failure: unknown): boolean {
  return TOO_FEW_SERVERS.has(jetStreamCodeOf(failure) ?? 0);
}
