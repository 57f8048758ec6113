import type { Millis } from '../../shared/clock.ts';
import type { ParsedRequest } from '../../shared/dialects/openai.ts';
import type { Principal } from '../../shared/messages/envelope.ts';

/** A request that was admitted: everything the ingress holds of it until its end. */
export interface AdmittedRequest extends ParsedRequest {
  readonly id: string;
  readonly principal: Principal;
  readonly receivedAt: Millis;
  readonly deadlineEpochMs: number;
  readonly traceparent: string | undefined;
}
