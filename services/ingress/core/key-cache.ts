import type { Millis } from '../../../shared/clock.ts';

interface Entry<Value> {
  /** undefined: of no key. */
  readonly keyId: string | undefined;
  readonly value: Value;
  readonly at: Millis;
}

/** What is known of tokens, by their digests; the tokens of one key can be forgotten by its id. At its bound the oldest goes. */
export class KeyCache<Value> {
  readonly #max: number;
  readonly #entries = new Map<string, Entry<Value>>();
  readonly #digests = new Map<string, Set<string>>();

  constructor(max: number) {
    this.#max = max;
  }

  get(digest: string): { readonly value: Value; readonly at: Millis } | undefined {
    return this.#entries.get(digest);
  }

  set(digest: string, keyId: string | undefined, value: Value, at: Millis): void {
    this.#delete(digest);
    if (this.#entries.size >= this.#max) this.#delete(this.#entries.keys().next().value as string);
    this.#entries.set(digest, { keyId, value, at });
    if (keyId === undefined) return;
    const digests = this.#digests.get(keyId);
    if (digests === undefined) this.#digests.set(keyId, new Set([digest]));
    else digests.add(digest);
  }

  forgetKey(keyId: string): void {
    for (const digest of this.#digests.get(keyId) ?? []) this.#entries.delete(digest);
    this.#digests.delete(keyId);
  }

  clear(): void {
    this.#entries.clear();
    this.#digests.clear();
  }

  #delete(digest: string): void {
    const keyId = this.#entries.get(digest)?.keyId;
    this.#entries.delete(digest);
    if (keyId === undefined) return;
    const digests = this.#digests.get(keyId);
    digests?.delete(digest);
    if (digests?.size === 0) this.#digests.delete(keyId);
  }
}
