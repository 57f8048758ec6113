/** Is everything that the provider served in the ledger, once and with its tokens? */
import type { BenchProvider, ProviderCounts } from './provider.ts';
import type { Side } from './sides.ts';

export interface Account {
  /** Which gateway: each has a ledger of its own. */
  readonly of: string;
  readonly provider: ProviderCounts;
  readonly ledger: ProviderCounts;
  /** Requests that are in one of the two and not in the other. */
  readonly unaccounted: number;
  /** As many tokens are in one of the two and not in the other. */
  readonly unaccountedTokens: number;
  /** How long the ledger needed after the last answer. */
  readonly caughtUpMs: number;
}

const CAUGHT_UP_WITHIN_MS = 60_000;

/** Waits for the ledger, which writes behind: until it has everything, or has been quiet about it for too long. */
export async function settle(of: string, side: Side, provider: BenchProvider): Promise<Account> {
  const { gateway } = side;
  if (gateway === undefined) throw new Error(`${side.name} has no ledger`);
  const startedAt = performance.now();
  const served = await provider.counts(side.providerKey);
  for (;;) {
    const ledger = await gateway.ledger();
    const caughtUpMs = performance.now() - startedAt;
    if (ledger.requests >= served.requests || caughtUpMs > CAUGHT_UP_WITHIN_MS) {
      const unaccountedTokens =
        Math.abs(served.promptTokens - ledger.promptTokens) +
        Math.abs(served.completionTokens - ledger.completionTokens);
      return {
        of,
        provider: served,
        ledger,
        unaccounted: Math.abs(served.requests - ledger.requests),
        unaccountedTokens,
        caughtUpMs: Math.round(caughtUpMs),
      };
    }
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
}
