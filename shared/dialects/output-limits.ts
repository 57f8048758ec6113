import type { OutputLimit } from '../config/types.ts';
import type { OutputBound } from '../messages/task.ts';
import { locateUnique } from './locate-unique.ts';
import type { ParsedRequest } from './openai.ts';

export const OUTPUT_LIMITS = ['max_completion_tokens', 'max_tokens'] as const satisfies readonly OutputLimit[];

/**
 * Where a chat request says of how many tokens it wants its answers: for who must say less in its place.
 * @throws GatewayError(`invalid_request`) when a number that decides what it may cost stands there twice: which one counts?
 */
export function locateOutputLimits({ body, boundedBy }: Pick<ParsedRequest, 'body' | 'boundedBy'>): OutputBound['at'] {
  const at: OutputBound['at'] = {};
  for (const name of boundedBy) {
    const range = locateUnique(body, name, true);
    if (name !== 'n' && range !== undefined) at[name] = range;
  }
  return at;
}
