import type { Deployment } from '../../../shared/catalog.ts';
import { OUTPUT_LIMITS } from '../../../shared/dialects/output-limits.ts';
import type { OutputBound } from '../../../shared/messages/task.ts';
import type { Sized } from './quote.ts';
import { outputBoundOf } from './quote.ts';

/**
 * What a provider must be told of how much output its attempt may make, so that it makes no more than was quoted.
 * @param at where the body says how much it wants
 * @returns undefined when the body says it already, in one number by the name that the provider knows, or there is no output
 */
export function boundToTell(
  deployment: Pick<Deployment, 'maxOutputTokens' | 'outputLimit'>,
  request: Sized,
  at: OutputBound['at'],
): OutputBound | undefined {
  const tokens = outputBoundOf(deployment, request);
  if (tokens === undefined) return undefined;
  const { outputTokens: wanted = Infinity } = request.bounds;
  const isSaid = OUTPUT_LIMITS.every((name) => (at[name] !== undefined) === (name === deployment.outputLimit));
  return isSaid && wanted <= tokens ? undefined : { tokens, at };
}
