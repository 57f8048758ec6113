import type { Millis } from '../../shared/clock.ts';
import type { PolicyOverrides } from '../../shared/config.ts';
import type { ParsedRequest } from '../../shared/dialects/openai.ts';
import type { Lane, Principal, PromptSketch } from '../../shared/messages/envelope.ts';
import type { Attribution } from '../../shared/scope.ts';

/** A request that was admitted: everything the ingress holds of it until its end. */
export interface AdmittedRequest extends ParsedRequest {
  /** These were read, and are let go: a request may last for minutes. */
  readonly sluice: undefined;
  readonly metadata: undefined;
  readonly prompt: undefined;
  readonly id: string;
  readonly principal: Principal;
  readonly attribution: Attribution;
  readonly receivedAt: Millis;
  readonly deadlineEpochMs: number;
  readonly traceparent: string | undefined;
  readonly lane: Lane;
  /** The named router it came through. */
  readonly via: string | undefined;
  /** What it says of its own routing, checked, and allowed to its key. */
  readonly overrides: PolicyOverrides | undefined;
  /** For the strategy `complexity` alone. */
  readonly sketch: PromptSketch | undefined;
  /**
   * Under which slots that were promised ahead are kept: the model's name, for a request that differs from others of that
   * name in nothing a router looks at. undefined: a router must be asked.
   */
  readonly nameKey: string | undefined;
  /** The route that serves it, since a budget of what it asked for is used up. undefined: as it asked. */
  readonly servedAs: string | undefined;
  /** A hard budget pays for it, and of some who could serve it no price is known. */
  readonly mustBePriced: boolean;
}
