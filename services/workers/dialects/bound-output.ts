import type { OutputLimit } from '../../../shared/config.ts';
import { OUTPUT_LIMITS } from '../../../shared/dialects/output-limits.ts';
import { memberOf } from '../../../shared/json-locate.ts';
import type { OutputBound } from '../../../shared/messages/task.ts';
import type { Edit } from '../core/edit-bytes.ts';
import { textOf } from '../core/edit-bytes.ts';

const OPEN_BRACE = 0x7b;

/**
 * Edits of a chat request after which its provider makes no more than so many output tokens of each choice, told by the
 * one name that it knows. A smaller number of the client's own stays as it is.
 */
export function boundOutput(
  body: readonly Buffer[],
  { tokens: bound, at: found }: OutputBound,
  limit: OutputLimit,
): Edit[] {
  const edits: Edit[] = [];
  let isSaid = false;
  for (const name of OUTPUT_LIMITS) {
    const at = found[name];
    if (at === undefined) continue;
    isSaid = true;
    const said = countOf(textOf(body, at));
    const least = String(said === undefined ? bound : Math.min(said, bound));
    // By the other name alone it would be ignored; what both of them mean together is the provider's to judge.
    if (name !== limit && found[limit] === undefined)
      edits.push({ at: memberOf(Buffer.concat(body), at), bytes: Buffer.from(`"${limit}":${least}`) });
    else if (said === undefined || said > bound) edits.push({ at, bytes: Buffer.from(least) });
  }
  if (isSaid) return edits;
  const afterBrace = (body[0] as Buffer).indexOf(OPEN_BRACE) + 1;
  return [{ at: [afterBrace, afterBrace], bytes: Buffer.from(`"${limit}":${bound},`) }];
}

/** undefined: it is no count, and what a provider makes of it is anybody's guess. */
function countOf(text: string): number | undefined {
  const value = Number(text);
  return Number.isSafeInteger(value) && value > 0 ? value : undefined;
}
