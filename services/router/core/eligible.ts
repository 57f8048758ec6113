import type { Deployment } from '../../../shared/catalog.ts';
import type { Endpoint, Need, Tried } from '../../../shared/messages/envelope.ts';
import { tokensEstimateOf } from '../../../shared/tokens.ts';

/** Failures of a worker or of a limit, not of what was called: the deployment may serve the request later, or elsewhere. */
const NOT_ITS_FAULT = new Set(['worker_lost', 'worker_busy', 'deployment_throttled', 'upstream_throttled']);
/** "Later": any other is asked before it. */
const LATER = new Set(['deployment_throttled', 'upstream_throttled']);

/** An estimate of tokens may be too high: only what is beyond the context by this much is not even tried. */
const ESTIMATE_TOLERANCE = 1.5;

/** What a deployment must have, to be asked for a request. */
export interface Requirements {
  /** Failed with this request, and would again. */
  readonly failed: ReadonlySet<string>;
  /** Said "later" to this request. */
  readonly deferred: ReadonlySet<string>;
  /** It must take more input than the one that said it was too long. undefined: nobody said so. */
  readonly contextAbove: number | undefined;
  readonly inputTokens: number;
  /** In and out, for limits in tokens. */
  readonly tokens: number;
  readonly needs: readonly Need[];
  readonly regions: readonly string[] | undefined;
  /** It goes on with a text that another began. */
  readonly continues: boolean;
  /** A hard budget pays for it. */
  readonly isPriced: boolean;
}

/** Why a deployment is not asked: the first of these that holds. */
export type RuledOut = 'failed' | 'region' | 'context' | 'continues' | 'price' | Need;

/**
 * @param contextOf the input tokens that a deployment takes, by id; undefined when unknown
 */
export function requirementsOf(
  asked: {
    readonly tried: readonly Tried[];
    readonly endpoint: Endpoint;
    readonly inputTokens: number;
    readonly maxOutputTokens?: number | undefined;
    readonly needs?: readonly Need[] | undefined;
    readonly continues?: boolean | undefined;
    readonly mustBePriced?: boolean | undefined;
  },
  regions: readonly string[] | undefined,
  contextOf: (deployment: string) => number | undefined,
): Requirements {
  const failed = new Set<string>();
  const deferred = new Set<string>();
  let contextAbove: number | undefined;
  for (const { deployment, code } of asked.tried) {
    if (LATER.has(code)) deferred.add(deployment);
    if (NOT_ITS_FAULT.has(code)) continue;
    failed.add(deployment);
    if (code === 'context_length_exceeded') contextAbove = Math.max(contextAbove ?? 0, contextOf(deployment) ?? 0);
  }
  const { inputTokens, needs = [], continues = false, mustBePriced: isPriced = false } = asked;
  const tokens = tokensEstimateOf(asked);
  return { failed, deferred, contextAbove, inputTokens, tokens, needs, regions, continues, isPriced };
}

/** undefined: it may be asked. What is not known of a deployment does not rule it out, but for where it runs. */
export function ruledOut(deployment: Deployment, required: Requirements): RuledOut | undefined {
  if (required.failed.has(deployment.id)) return 'failed';
  const { region, capabilities, contextTokens, prefill } = deployment;
  if (required.regions !== undefined && (region === undefined || !required.regions.includes(region))) return 'region';
  if (required.isPriced && deployment.price === undefined) return 'price';
  if (contextTokens !== undefined) {
    if (required.contextAbove !== undefined && contextTokens <= required.contextAbove) return 'context';
    if (required.inputTokens > contextTokens * ESTIMATE_TOLERANCE) return 'context';
  }
  if (capabilities !== undefined) {
    for (const need of required.needs) if (!capabilities.has(need)) return need;
  }
  return required.continues && prefill === 'none' ? 'continues' : undefined;
}
