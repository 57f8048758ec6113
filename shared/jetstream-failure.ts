/** What JetStream refuses with, by the numbers of its error schema. */
export const STREAM_NOT_FOUND = 10_059;
export const STREAM_NAME_IN_USE = 10_058;
const CONSUMER_NOT_FOUND = 10_014;

/** The number of JetStream's error; undefined: it comes from elsewhere. */
export function jetStreamCodeOf(failure: unknown): number | undefined {
  if (!(failure instanceof Error && 'api_error' in failure)) return undefined;
  return (failure as { api_error?: { err_code?: number } }).api_error?.err_code;
}

/** What was asked of a stream or a consumer; undefined where there is none. @throws what else was said */
export async function unlessNotFound<T>(info: Promise<T>): Promise<T | undefined> {
  try {
    return await info;
  } catch (failure) {
    const code = jetStreamCodeOf(failure);
    if (code === STREAM_NOT_FOUND || code === CONSUMER_NOT_FOUND) return undefined;
    throw failure;
  }
}
