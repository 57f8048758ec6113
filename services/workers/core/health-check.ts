/** One lost packet is no outage. */
const FAILURES_TO_FAIL = 2;

/** The active health check of one provider: what its last answers say together. */
export class HealthCheckRecord {
  #failures = 0;

  /**
   * @param failed why one check failed; null when it passed
   * @returns why the provider counts as failed; null: it does not
   */
  record(failed: string | null): string | null {
    this.#failures = failed === null ? 0 : this.#failures + 1;
    return this.#failures >= FAILURES_TO_FAIL ? failed : null;
  }
}

/**
 * Why an answer of this status is a failure; null when it is none. A page that is not there (404), or not for a GET (405),
 * and a limit (429) are answers of somebody who lives. Who refuses the credential would refuse every request.
 */
export function failureOfStatus(status: number): string | null {
  const isFailure = status >= 500 || status === 401 || status === 403;
  return isFailure ? `status ${status}` : null;
}

/** When the next check begins: ±10 %, so that workers that started together do not knock together. */
export function nextCheckInMs(everyMs: number, random: () => number): number {
  return everyMs * (0.9 + 0.2 * random());
}
