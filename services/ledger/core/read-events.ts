import { checkOf } from '../../../shared/check.ts';
import { UsageBatch, UsageRecorded } from '../../../shared/messages/usage.ts';

const isUsage = checkOf(UsageRecorded);

/** What can never be recorded. */
export interface PoisonedEvent {
  /** The event, or the whole message when it is no list of events. */
  readonly event: string;
  /** Names fields and rules, never values. */
  readonly reason: string;
}

export interface ReadEvents {
  readonly events: UsageRecorded[];
  readonly poisoned: PoisonedEvent[];
}

const MAX_NAMED_FIELDS = 5;

interface Problem {
  readonly path: readonly PropertyKey[];
  readonly code: string;
}

/** A JetStream message → its events, each checked by itself: one bad event costs only itself. Never throws. */
export function readEvents(bytes: Uint8Array): ReadEvents {
  const text = new TextDecoder().decode(bytes);
  const batch = parseBatch(text);
  if (typeof batch === 'string') return { events: [], poisoned: [{ event: text, reason: batch }] };
  const read: ReadEvents = { events: [], poisoned: [] };
  for (const value of batch) {
    if (isUsage(value)) read.events.push(value);
    else read.poisoned.push({ event: JSON.stringify(value), reason: describe(UsageRecorded.safeParse(value).error) });
  }
  return read;
}

/** The list, or why it is none. */
function parseBatch(text: string): readonly unknown[] | string {
  try {
    const result = UsageBatch.safeParse(JSON.parse(text));
    return result.success ? result.data : describe(result.error);
  } catch {
    return 'not JSON';
  }
}

function describe(error: { readonly issues: readonly Problem[] } | undefined): string {
  const named = (error?.issues ?? []).map(({ path, code }) => `${path.join('.') || '(root)'}: ${code}`);
  return `breaks its schema: ${named.slice(0, MAX_NAMED_FIELDS).join(', ')}`;
}
