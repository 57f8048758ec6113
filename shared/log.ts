import { once } from 'node:events';
import { pino } from 'pino';
import type { Logger } from 'pino';

export type Log = Logger;
export type LogLevel = 'trace' | 'debug' | 'info' | 'warn' | 'error' | 'fatal' | 'silent';

/** A reader of stdout that has stopped reading must not keep us. */
const LAST_LINES_WITHIN_MS = 1_000;

/**
 * JSON lines on stdout. Fields, not sentences; never a secret, a prompt or an answer.
 * `redact` is the last line of defence for objects that carry credentials, not the first.
 */
export function createLog(level: LogLevel, service: string): Log {
  return pino({
    level,
    base: { service },
    timestamp: pino.stdTimeFunctions.isoTime,
    redact: { paths: ['apiKey', 'key', 'authorization', '*.apiKey', '*.key', '*.authorization'], censor: '[redacted]' },
  });
}

/**
 * Ends the log; resolves when its last line is written. Lines are written asynchronously, and what an exit finds unwritten
 * is written ahead of the line that is just under way: the last lines of a process would be out of order.
 */
export async function endLog(log: Log): Promise<void> {
  const stream = (log as unknown as Record<symbol, NodeJS.EventEmitter & { end(): void }>)[pino.symbols.streamSym];
  if (stream === undefined) return;
  log.level = 'silent';
  const closed = once(stream, 'close', { signal: AbortSignal.timeout(LAST_LINES_WITHIN_MS) });
  stream.end();
  await closed.catch(() => undefined);
}
