import { readJson } from '../../../shared/check.ts';
import { UsageBatch, UsageRecorded } from '../../../shared/messages/usage.ts';

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

/** A JetStream message → its events, each checked by itself: one bad event costs only itself. Never throws. */
export function readEvents(bytes: Uint8Array): ReadEvents {
  const text = new TextDecoder().decode(bytes);
  const batch = parseBatch(text);
  if (typeof batch === 'string') return { events: [], poisoned: [{ event: text, reason: batch }] };
  const read: ReadEvents = { events: [], poisoned: [] };
  for (const value of batch) {
    const event = readJson(UsageRecorded, value);
    if ('fault' in event) read.poisoned.push({ event: JSON.stringify(value), reason: event.fault });
    else read.events.push(event.value);
  }
  return read;
}

/** The list, or why it is none. */
function parseBatch(text: string): readonly unknown[] | string {
  try {
    const read = readJson(UsageBatch, JSON.parse(text));
    return 'fault' in read ? read.fault : read.value;
  } catch {
    return 'not JSON';
  }
}
