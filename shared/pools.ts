import type { ProviderConfig } from './config.ts';

/** Slots for attempts: of all models of a provider, or of one that has its own. */
export interface PoolConfig {
  /** A NATS token. */
  readonly name: string;
  readonly concurrency: number;
  /** The least it may shrink to; undefined: it is fixed. */
  readonly minConcurrency: number | undefined;
}

/** The pool that serves a provider's model. */
export function poolOf(provider: ProviderConfig, model: string): string {
  return provider.models.get(model)?.concurrency === undefined ? provider.name : ownPool(provider.name, model);
}

/** Every pool of a provider: its own, then those of models with a concurrency of their own. */
export function poolsOf(provider: ProviderConfig): PoolConfig[] {
  const { name, concurrency, minConcurrency, models } = provider;
  const own = [...models.values()].flatMap((model) =>
    model.concurrency === undefined
      ? []
      : [{ name: ownPool(name, model.name), concurrency: model.concurrency, minConcurrency: undefined }],
  );
  return [{ name, concurrency, minConcurrency }, ...own];
}

/** `~` is in no provider's name, and what a NATS token may not hold (`.`, `*`, `>`, spaces) is written in hex. */
function ownPool(provider: string, model: string): string {
  return `${provider}~${model.replace(/[^A-Za-z0-9-]/g, (character) => `_${character.codePointAt(0)?.toString(16)}_`)}`;
}
