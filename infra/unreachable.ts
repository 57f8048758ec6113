/** A server that a command needs does not answer. The message says which one and what to do; it holds no credentials. */
export class UnreachableError extends Error {
  override readonly name = 'UnreachableError';
}

export function natsUnreachable(url: string, cause: unknown): UnreachableError {
  const why = `NATS does not answer at ${url.split(',').map(withoutCredentials).join(', ')}: ${reasonOf(cause)}`;
  return new UnreachableError(`${why}\nIs it running? NATS_URL (or nats.url in the configuration) says where.`, {
    cause,
  });
}

export function postgresUnreachable(url: string, cause: unknown): UnreachableError {
  const why = `Postgres does not answer at ${withoutCredentials(url)}: ${reasonOf(cause)}`;
  return new UnreachableError(
    `${why}\nIs it running? DATABASE_URL (or database.url in the configuration) says where.`,
    {
      cause,
    },
  );
}

/** `nats://user:secret@host:4222/x?y` → `host:4222/x`: enough to recognize it. */
export function withoutCredentials(url: string): string {
  const parsed = URL.parse(url.includes('://') ? url : `nats://${url}`);
  return parsed === null ? '(not a URL)' : `${parsed.host}${parsed.pathname === '/' ? '' : parsed.pathname}`;
}

/** One line: of several failures (one for each address of a name) the first, of a bare code the code. */
export function reasonOf(failure: unknown): string {
  if (failure instanceof AggregateError && failure.message === '') return reasonOf(failure.errors[0]);
  if (!(failure instanceof Error)) return String(failure);
  const [line = ''] = failure.message.split('\n');
  const said = line || ('code' in failure ? String(failure.code) : failure.name);
  // fetch() says only "fetch failed", nats only its code; the reason is the cause.
  const deeper = failure.cause ?? ('chainedError' in failure ? failure.chainedError : undefined);
  return deeper instanceof Error ? `${said} (${reasonOf(deeper)})` : said;
}
