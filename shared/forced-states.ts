import type { Bus, Subscription } from './bus.ts';
import { GatewayError } from './errors.ts';
import type { Change, KeyValueBucket } from './key-value.ts';
import { ForcedState } from './messages/control.ts';
import { FORCED_BUCKET } from './subjects.ts';

/** Deployments that may be forced at once; the next one is refused. */
export const MAX_FORCED = 1_024;
/** The longest name: a NATS subject should stay below a kilobyte. */
const MAX_DEPLOYMENT_CHARS = 512;

/**
 * What operators have forced on deployments, the same for all who watch: `sluice deployments drain` and the admin API write
 * it, routers, workers and ingresses obey. It outlives them all, in JetStream. While that is away, what was known stands;
 * before anything is known, nothing is forced.
 */
export class ForcedStates {
  readonly #states = new Map<string, ForcedState>();
  readonly #listeners = new Set<(deployment: string) => void>();
  readonly #options: { readonly compareEveryMs?: number };
  #bucket: KeyValueBucket<ForcedState> | undefined;

  /** @param options `compareEveryMs`: see `KeyValueDeps` */
  constructor(options: { readonly compareEveryMs?: number } = {}) {
    this.#options = options;
  }

  /** Resolves when the states are known, or cannot be had now: that is logged, and they come when they can. */
  async start(bus: Bus): Promise<void> {
    this.#bucket = bus.keyValue(FORCED_BUCKET, ForcedState, (change) => this.#take(change), this.#options);
    await this.#bucket.start();
  }

  stop(): void {
    this.#bucket?.stop();
  }

  /** Whether the states were ever read. */
  get isKnown(): boolean {
    return this.#bucket?.isKnown ?? false;
  }

  /** undefined: nothing is forced. */
  stateOf(deployment: string): ForcedState['state'] | undefined {
    return this.#states.get(deployment)?.state;
  }

  all(): ForcedState[] {
    return [...this.#states.values()];
  }

  /** Called after something was forced on the deployment, or taken from it. */
  onChange(listener: (deployment: string) => void): Subscription {
    this.#listeners.add(listener);
    return { unsubscribe: () => void this.#listeners.delete(listener) };
  }

  /**
   * Known here at once, and everywhere within milliseconds. What was forced before is replaced.
   * @throws GatewayError(`broker_unavailable`), or `invalid_request` when too much is forced already
   */
  async force(state: ForcedState): Promise<void> {
    const { deployment } = state;
    if (deployment.length > MAX_DEPLOYMENT_CHARS)
      throw new GatewayError('invalid_request', `The deployment’s name is longer than ${MAX_DEPLOYMENT_CHARS}.`);
    if (this.#states.size >= MAX_FORCED && !this.#states.has(deployment))
      throw new GatewayError(
        'invalid_request',
        `${MAX_FORCED} deployments are forced already: enable some of them first.`,
      );
    await this.#started().put(keyOf(deployment), state);
  }

  /** The deployment is again what its own health says. @throws GatewayError(`broker_unavailable`) */
  async release(deployment: string): Promise<void> {
    await this.#started().delete(keyOf(deployment));
  }

  #started(): KeyValueBucket<ForcedState> {
    if (this.#bucket === undefined) throw new Error('ForcedStates is not started');
    return this.#bucket;
  }

  #take({ key, value }: Change<ForcedState>): void {
    const deployment = Buffer.from(key, 'base64url').toString('utf8');
    // Written by somebody else's tool: which of the two names is meant, nobody knows.
    const isSound = value !== undefined && value.deployment === deployment;
    if (isSound) this.#states.set(deployment, value);
    else if (!this.#states.delete(deployment)) return;
    for (const listener of this.#listeners) listener(deployment);
  }
}

/** Names hold `/` and `:`, and a bucket's keys few characters. */
function keyOf(deployment: string): string {
  return Buffer.from(deployment, 'utf8').toString('base64url');
}
