import type { Bus } from '../../../shared/bus.ts';
import type { UsageRecorded } from '../../../shared/messages/usage.ts';
import { usageSubject } from '../../../shared/subjects.ts';

/** As a journal sends them: a list in each message; acknowledged by the stream when this resolves. */
export async function publishEvents(bus: Bus, events: readonly UsageRecorded[], perMessage = 500): Promise<void> {
  const sent: Promise<unknown>[] = [];
  for (let i = 0; i < events.length; i += perMessage) {
    sent.push(publishText(bus, JSON.stringify(events.slice(i, i + perMessage))));
  }
  await Promise.all(sent);
}

export async function publishText(bus: Bus, text: string): Promise<void> {
  await bus.jetStream().publish(usageSubject('test'), Buffer.from(text));
}
