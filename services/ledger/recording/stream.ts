import type { Consumer, ConsumerConfig, JetStreamManager, StreamConfig } from 'nats';
import type { Bus } from '../../../shared/bus.ts';
import { AckPolicy, DeliverPolicy, DiscardPolicy, RetentionPolicy, StorageType } from '../../../shared/bus.ts';
import { unlessNotFound } from '../../../shared/jetstream-failure.ts';
import { withReplicas } from '../../../shared/replicas.ts';
import { USAGE_CONSUMER, USAGE_STREAM, USAGE_SUBJECTS } from '../../../shared/subjects.ts';

const NANOS_PER_MS = 1_000_000;
/** About two million events: at 100 requests/s, six hours without a ledger. */
const MAX_BYTES = 2 * 2 ** 30;
/** A journal that retries a batch for longer than this is caught by the attempt ids. */
const DUPLICATE_WINDOW_MS = 120_000;
/** Several times what a batch may take (database.ts, statement timeout): one that was not acknowledged by then is lost. */
const ACK_WAIT_MS = 10_000;
/** Messages out at all ledgers together: a full batch for each of two, were there one event in each message. */
const MAX_ACK_PENDING = 4_096;

export interface UsageStreamOptions {
  /** At this much the stream takes no more, and who publishes is told. */
  readonly maxBytes?: number | undefined;
  /** Copies in a NATS cluster. Not given: as many as it has the servers for (shared/replicas.ts). */
  readonly replicas?: number | undefined;
  /** After this a message that was neither acknowledged nor refused goes to another ledger. */
  readonly ackWaitMs?: number | undefined;
}

/**
 * Makes or updates the stream of usage events and its consumer, and opens that; safe to call from several ledgers at once.
 *
 * A work queue: what is recorded leaves the stream, so its size is the backlog, and `max_bytes` with `discard: new` is
 * felt by the publishers when, and only when, the ledgers are far behind. With `limits`, recorded events would fill it.
 *
 * @throws Error when JetStream is off or away, has too little space, or does not do what it is asked (an old server
 *   drops what it does not know without a word, so its answer is compared)
 */
export async function openUsageConsumer(bus: Bus, options: UsageStreamOptions = {}): Promise<Consumer> {
  const manager = await bus.jetStreamManager();
  await ensureStream(bus, manager, options);
  await ensureConsumer(manager, options);
  return bus.jetStream().consumers.get(USAGE_STREAM, USAGE_CONSUMER);
}

async function ensureStream(
  bus: Bus,
  manager: JetStreamManager,
  { maxBytes = MAX_BYTES, replicas }: UsageStreamOptions,
): Promise<void> {
  const asked = {
    name: USAGE_STREAM,
    subjects: [USAGE_SUBJECTS],
    storage: StorageType.File,
    retention: RetentionPolicy.Workqueue,
    discard: DiscardPolicy.New,
    max_bytes: maxBytes,
    duplicate_window: DUPLICATE_WINDOW_MS * NANOS_PER_MS,
  } satisfies Partial<StreamConfig>;
  const found = await unlessNotFound(manager.streams.info(USAGE_STREAM));
  const ensure = async (copies: number): Promise<void> => {
    const wanted = { ...asked, num_replicas: copies };
    if (found !== undefined && differences(wanted, found.config).length === 0) return;
    const made = await (found === undefined
      ? manager.streams.add(wanted)
      : manager.streams.update(USAGE_STREAM, wanted));
    refuseDifferences(`stream ${USAGE_STREAM}`, wanted, made.config);
  };
  if (replicas === undefined) await withReplicas(bus, found?.config.num_replicas ?? 1, ensure);
  else await ensure(replicas);
}

async function ensureConsumer(
  manager: JetStreamManager,
  { ackWaitMs = ACK_WAIT_MS }: UsageStreamOptions,
): Promise<void> {
  const wanted = {
    durable_name: USAGE_CONSUMER,
    deliver_policy: DeliverPolicy.All,
    ack_policy: AckPolicy.Explicit,
    ack_wait: ackWaitMs * NANOS_PER_MS,
    max_ack_pending: MAX_ACK_PENDING,
    // What can never be recorded is put aside by us, not dropped by the server.
    max_deliver: -1,
  } satisfies Partial<ConsumerConfig>;
  const found = await unlessNotFound(manager.consumers.info(USAGE_STREAM, USAGE_CONSUMER));
  if (found !== undefined && differences(wanted, found.config).length === 0) return;
  const made = await (found === undefined
    ? manager.consumers.add(USAGE_STREAM, wanted)
    : manager.consumers.update(USAGE_STREAM, USAGE_CONSUMER, wanted));
  refuseDifferences(`consumer ${USAGE_CONSUMER}`, wanted, made.config);
}

function refuseDifferences(what: string, wanted: object, got: object): void {
  const different = differences(wanted, got);
  if (different.length === 0) return;
  throw new Error(`JetStream ${what} is not as asked: ${different.join(', ')}`);
}

/** The keys of `wanted` that `got` has otherwise. */
function differences(wanted: object, got: object): string[] {
  const has = new Map<string, unknown>(Object.entries(got));
  return Object.entries(wanted)
    .filter(([key, value]) => JSON.stringify(has.get(key)) !== JSON.stringify(value))
    .map(([key]) => key);
}

/** Whether JetStream did not answer `openUsageConsumer`: the server runs without it, or has not come up yet. */
export function isJetStreamAway(failure: unknown): boolean {
  return failure instanceof Error && 'code' in failure && (failure.code === 'TIMEOUT' || failure.code === '503');
}
