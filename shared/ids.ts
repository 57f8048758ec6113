import { randomBytes, randomUUIDv7 } from 'node:crypto';

/** `req_` and 32 hex digits, ordered by time (UUID v7), so that the ledger's index grows at one end. */
export function makeRequestId(): string {
  return `req_${randomUUIDv7().replaceAll('-', '')}`;
}

/** `<request id>.<n>`: what makes a usage event idempotent. `attempt` counts from 1. */
export function attemptIdOf(requestId: string, attempt: number): string {
  return `${requestId}.${attempt}`;
}

/**
 * `lse_` and 12 characters, 72 random bits of a name that lives for a day: short, since a request names one for each of its
 * budgets, and its names go to the worker, into its note, and into the ledger.
 */
export function makeLeaseId(): string {
  return `lse_${randomBytes(9).toString('base64url')}`;
}

/** Names one running instance of a service; unique for ever, short enough for a subject. */
export function makeInstanceId(role: 'ing' | 'rtr' | 'wrk' | 'ldg'): string {
  return `${role}-${randomUUIDv7().replaceAll('-', '').slice(-12)}`;
}
