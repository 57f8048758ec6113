import { pino } from 'pino';
import type { Logger } from 'pino';

export type Log = Logger;
export type LogLevel = 'trace' | 'debug' | 'info' | 'warn' | 'error' | 'fatal' | 'silent';

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
