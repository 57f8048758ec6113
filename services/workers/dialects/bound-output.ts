import type { OutputLimit } from '../../../shared/config.ts';
import { GatewayError } from '../../../shared/errors.ts';
import { DuplicateKey, locateTopLevel, memberOf } from '../../../shared/json-locate.ts';
import type { ByteRange } from '../../../shared/messages/task.ts';
import type { Edit } from '../core/edit-bytes.ts';

const LIMITS: readonly OutputLimit[] = ['max_completion_tokens', 'max_tokens'];
const OPEN_BRACE = 0x7b;

/**
 * Edits of a chat request after which its provider makes no more than `bound` output tokens of each choice, told by the
 * one name that it knows. A smaller number of the client's own stays as it is.
 * @throws GatewayError(`invalid_request`) when a number that decides what it may cost stands there twice: which one counts?
 */
export function boundOutput(parts: readonly Buffer[], bound: number, limit: OutputLimit): Edit[] {
  const body = parts.length === 1 ? (parts[0] as Buffer) : Buffer.concat(parts);
  const found = locate(body);
  const edits: Edit[] = [];
  for (const name of LIMITS) {
    const at = found.get(name);
    if (at === undefined) continue;
    const said = numberAt(body, at);
    const least = String(said === undefined ? bound : Math.min(said, bound));
    // By the other name alone it would be ignored; what both of them mean together is the provider's to judge.
    if (name !== limit && !found.has(limit))
      edits.push({ at: memberOf(body, at), bytes: Buffer.from(`"${limit}":${least}`) });
    else if (said === undefined || said > bound) edits.push({ at, bytes: Buffer.from(least) });
  }
  if (LIMITS.some((name) => found.has(name))) return edits;
  const afterBrace = body.indexOf(OPEN_BRACE) + 1;
  return [{ at: [afterBrace, afterBrace], bytes: Buffer.from(`"${limit}":${bound},`) }];
}

function locate(body: Buffer): Map<string, ByteRange> {
  try {
    return locateTopLevel(body, [...LIMITS, 'n']);
  } catch (failure) {
    if (!(failure instanceof DuplicateKey)) throw failure;
    throw new GatewayError('invalid_request', `The request names '${failure.key}' twice.`, { param: failure.key });
  }
}

/** undefined: it is no count, and what a provider makes of it is anybody's guess. */
function numberAt(body: Buffer, [start, end]: ByteRange): number | undefined {
  const value = Number(body.toString('latin1', start, end));
  return Number.isSafeInteger(value) && value > 0 ? value : undefined;
}
