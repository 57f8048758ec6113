import type { Resolution } from '../../shared/catalog.ts';
import type { Clock, Millis } from '../../shared/clock.ts';
import type { Envelope } from '../../shared/messages/envelope.ts';
import { HEDGED } from '../../shared/messages/envelope.ts';
import { tokensEstimateOf, USUAL_OUTPUT_TOKENS } from '../../shared/tokens.ts';
import { scoreComplexity, tierOf } from './core/complexity.ts';
import type { Requirements } from './core/eligible.ts';
import type { Asked } from './core/pick.ts';

/** A question that came, and for as long as it is being answered. */
export interface Question {
  readonly envelope: Envelope;
  readonly reply: string;
  readonly stream: number;
  /** Tokens that it may use, in and out: an estimate. */
  readonly tokens: number;
  /** When it came, or would have come had no router been lost. */
  readonly since: Millis;
}

/** By whom a question may be answered: a resolved name and what the request asks of a deployment. */
export interface Serving {
  readonly resolution: Resolution;
  readonly variant: string | undefined;
  readonly required: Requirements;
  /** The name of the route that stands in for the one that was asked for. */
  readonly downgradedTo: string | undefined;
  readonly downgrades: number;
  readonly avoid: ReadonlySet<string>;
}

export function questionOf(envelope: Envelope, reply: string, stream: number, now: Millis): Question {
  return { envelope, reply, stream, tokens: tokensEstimateOf(envelope), since: now - (envelope.waitedMs ?? 0) };
}

/** Unique at a router. */
export function keyOf({ reply, stream }: Pick<Question, 'reply' | 'stream'>): string {
  return `${reply} ${stream}`;
}

export function deadlineOf({ envelope }: Question, clock: Clock): Millis {
  return clock.now() + envelope.deadlineEpochMs - clock.epochMs();
}

export function affinityOf({ affinity, principal }: Envelope): string {
  return affinity ?? principal.keyId;
}

/** A first attempt is under way, and this is to be another beside it. */
export function isHedge({ tried }: Envelope): boolean {
  return tried.some(({ code }) => code === HEDGED);
}

/** What the route's strategy looks at. */
export function askedOf({ envelope }: Question, { resolution: { complexity, policy } }: Serving): Asked {
  const { inputTokens, maxOutputTokens = USUAL_OUTPUT_TOKENS, principal, sketch } = envelope;
  const isTiered = policy.strategy === 'complexity';
  const scored = isTiered && sketch !== undefined ? tierOf(scoreComplexity(sketch), complexity) : undefined;
  const tier = (isTiered && principal.team !== null ? complexity.teams.get(principal.team) : undefined) ?? scored;
  return { affinity: affinityOf(envelope), inputTokens, outputTokens: maxOutputTokens, tier };
}

/** Why this deployment, in a word: what went before the choice, else the strategy. */
export function reasonOf({ envelope }: Question, { resolution, downgradedTo }: Serving, isFallback: boolean): string {
  if (envelope.continues === true) return 'continue';
  if (isHedge(envelope)) return 'hedge';
  if (downgradedTo !== undefined) return 'downgrade';
  if (isFallback) return 'fallback';
  if (envelope.tried.length > 0) return 'retry';
  return resolution.targets.length === 1 ? 'only' : resolution.policy.strategy;
}
