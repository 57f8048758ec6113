/** A provider's header → the name under which clients see it. Everything else stays inside, `set-cookie` above all. */
const RENAMED = new Map([
  ['x-request-id', 'x-upstream-request-id'],
  ['openai-processing-ms', 'x-upstream-processing-ms'],
  ['openai-version', 'x-upstream-openai-version'],
]);
const RATE_LIMIT = 'x-ratelimit-';
const MAX_HEADERS = 24;
const MAX_VALUE_CHARS = 256;

/** `x-ratelimit-limit-tokens` becomes `x-upstream-ratelimit-limit-tokens`, and so on. */
export function visibleHeaders(
  headers: Readonly<Record<string, string | string[] | undefined>>,
): Record<string, string> {
  const visible: Record<string, string> = {};
  let count = 0;
  for (const name in headers) {
    const value = headers[name];
    if (typeof value !== 'string' || value.length > MAX_VALUE_CHARS || count >= MAX_HEADERS) continue;
    const shown = name.startsWith(RATE_LIMIT) ? `x-upstream-${name.slice(2)}` : RENAMED.get(name);
    if (shown === undefined) continue;
    visible[shown] = value;
    count++;
  }
  return visible;
}
