import type { Bus } from './bus.ts';
import { DiscardPolicy, RetentionPolicy, StorageType } from './bus.ts';
import { unlessNotFound } from './jetstream-failure.ts';
import { withReplicas } from './replicas.ts';
import { OPEN_STREAM, OPEN_SUBJECTS } from './subjects.ts';

/** A worker takes its own notes away every half a minute, so only those of the dead and of the last minute are here. */
const MAX_BYTES = 512 * 2 ** 20;
/** The longest deadline of a request is a day. */
const MAX_AGE_MS = 25 * 60 * 60 * 1_000;
const NANOS_PER_MS = 1_000_000;

/**
 * Makes the stream of open attempts where there is none; safe to call from all workers at once. At its bound the
 * oldest notes go: what they would have told is then never closed by the reaper.
 * @throws what JetStream said
 */
export async function ensureOpenStream(bus: Bus): Promise<void> {
  const manager = await bus.jetStreamManager();
  if ((await unlessNotFound(manager.streams.info(OPEN_STREAM))) !== undefined) return;
  await withReplicas(bus, 1, (copies) =>
    manager.streams.add({
      name: OPEN_STREAM,
      subjects: [OPEN_SUBJECTS],
      storage: StorageType.File,
      retention: RetentionPolicy.Limits,
      discard: DiscardPolicy.Old,
      max_bytes: MAX_BYTES,
      max_age: MAX_AGE_MS * NANOS_PER_MS,
      num_replicas: copies,
    }),
  );
}
