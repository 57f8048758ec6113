import { createHmac } from 'node:crypto';
import type { Millis } from '../../../shared/clock.ts';

const ANSWER_WITHIN_MS = 10_000;

/** Who is told of alerts. */
export interface Webhook {
  readonly url: string;
  /** Shared with who receives: it signs each delivery. */
  readonly secret: string;
}

/**
 * `t=<unix seconds>,v1=<hex>`: the HMAC-SHA256 of `<t>.<body>` under the secret. The time is signed too, so that who
 * receives can refuse what was recorded and sent again.
 */
export function signatureOf(secret: string, body: string, epochMs: Millis): string {
  const seconds = Math.floor(epochMs / 1_000);
  const digest = createHmac('sha256', secret).update(`${seconds}.${body}`).digest('hex');
  return `t=${seconds},v1=${digest}`;
}

/**
 * Posts a signed body. Redirects are not followed: the signature is for the URL that was configured.
 * @returns null when it was taken (2xx), else why not, without what the server said
 */
export async function postSigned({ url, secret }: Webhook, body: string, epochMs: Millis): Promise<string | null> {
  try {
    const response = await fetch(url, {
      method: 'POST',
      redirect: 'manual',
      headers: {
        'content-type': 'application/json',
        'user-agent': 'sluice',
        'x-sluice-signature': signatureOf(secret, body, epochMs),
      },
      body,
      signal: AbortSignal.timeout(ANSWER_WITHIN_MS),
    });
    // Nobody reads it; an unread body keeps its connection.
    await response.body?.cancel();
    return response.ok ? null : `status ${response.status}`;
  } catch (failure) {
    return failure instanceof Error && failure.name === 'TimeoutError' ? 'no answer in time' : 'not reachable';
  }
}
