import { readFileSync } from 'node:fs';
import type { TokenUsage } from './messages/attempt.ts';

/** Nano-dollars per million tokens: integers, so that every listed price is exact (1e-07 USD a token is 100_000_000). */
export interface TokenRates {
  readonly input: number;
  readonly output: number;
  /** Input the provider read from its cache. Absent: the input rate. */
  readonly cachedInput?: number;
}

/** What one model costs; each rate is an integer in 0..MAX_RATE. */
export interface Price extends TokenRates {
  /** Reasoning tokens, where they cost something other than the rest of the output. */
  readonly reasoningOutput?: number;
  readonly cacheWrite?: number;
  readonly audioInput?: number;
  readonly audioOutput?: number;
  /** Rates of a whole request whose input is longer than `aboveInputTokens`; ascending, the last that applies counts. */
  readonly tiers?: ReadonlyArray<PriceTier>;
}

export interface PriceTier extends TokenRates {
  readonly aboveInputTokens: number;
}

export type ModelMode = 'chat' | 'embedding';

export const CAPABILITIES = [
  'tools',
  'parallel-tools',
  'vision',
  'pdf',
  'audio',
  'schema',
  'reasoning',
  'caching',
] as const;
export type Capability = (typeof CAPABILITIES)[number];

/** One line of the price table. */
export interface ModelInfo {
  readonly provider: string;
  /** As the provider itself calls it. */
  readonly name: string;
  readonly mode: ModelMode;
  readonly price: Price;
  readonly maxInputTokens?: number;
  readonly maxOutputTokens?: number;
  readonly capabilities: ReadonlyArray<Capability>;
}

/** 10,000 USD per million tokens; the dearest known model costs 9,710. */
export const MAX_RATE = 1e13;

/** Above a quarter of the largest body (1 GiB); together with MAX_RATE it keeps each sum in `costOf` below 2^53. */
export const MAX_TOKENS = 4e8;

const TOKENS_PER_UNIT = 1e6;

/** The four numbers of a `TokenUsage`. */
export type CountedTokens = Readonly<
  Pick<TokenUsage, 'inputTokens' | 'outputTokens' | 'cachedInputTokens' | 'reasoningTokens'>
>;

/**
 * Integer nano-dollars of one attempt: exact, rounded half up once. No price is not the same as free: undefined stays
 * undefined. Cached tokens are part of the input and reasoning tokens part of the output, each at its own rate where
 * the price has one; what a provider counts beyond the whole is ignored.
 * @throws RangeError when a count is not an integer in 0..MAX_TOKENS.
 */
export function costOf(usage: CountedTokens, price: Price): number;
export function costOf(usage: CountedTokens, price: Price | undefined): number | undefined;
export function costOf(usage: CountedTokens, price: Price | undefined): number | undefined {
  if (price === undefined) return undefined;
  const input = checkedTokens(usage.inputTokens);
  const output = checkedTokens(usage.outputTokens);
  const cached = Math.min(checkedTokens(usage.cachedInputTokens), input);
  const reasoning = Math.min(checkedTokens(usage.reasoningTokens), output);
  const [inputRate, cachedRate, outputRate, reasoningRate] = chargedRates(input, price);
  const sum = new ExactSum();
  sum.add(input - cached, inputRate);
  sum.add(cached, cachedRate);
  sum.add(output - reasoning, outputRate);
  sum.add(reasoning, reasoningRate);
  return sum.roundedHalfUp();
}

/** The rates that a request of so much input is charged by: input, cached input, output, reasoning output. */
export type ChargedRates = [input: number, cachedInput: number, output: number, reasoningOutput: number];

export function chargedRates(inputTokens: number, price: Price): ChargedRates {
  const rates = price.tiers?.findLast((tier) => inputTokens > tier.aboveInputTokens) ?? price;
  // A tier has one output rate: no known model has both tiers and a reasoning rate.
  const reasoningRate = rates === price ? (price.reasoningOutput ?? price.output) : rates.output;
  return [rates.input, rates.cachedInput ?? rates.input, rates.output, reasoningRate];
}

/**
 * Σ tokens × rate / 10^6 without a product beyond 2^53: a rate is split into quotient and remainder by 10^6, so that
 * the parts add up to at most 2 · 4·10^8 · 10^7 (input and output) and 2 · 4·10^8 · 10^6.
 */
class ExactSum {
  #whole = 0;
  #millionths = 0;

  add(tokens: number, rate: number): void {
    const remainder = rate % TOKENS_PER_UNIT;
    this.#whole += tokens * ((rate - remainder) / TOKENS_PER_UNIT);
    this.#millionths += tokens * remainder;
  }

  roundedHalfUp(): number {
    const rest = this.#millionths % TOKENS_PER_UNIT;
    return this.#whole + (this.#millionths - rest) / TOKENS_PER_UNIT + (rest * 2 >= TOKENS_PER_UNIT ? 1 : 0);
  }
}

function checkedTokens(count: number): number {
  if (Number.isInteger(count) && count >= 0 && count <= MAX_TOKENS) return count;
  throw new RangeError(`${count} is not a number of tokens in 0..${MAX_TOKENS}`);
}

/** A dated snapshot: `gpt-4o-mini-2024-07-18`, `claude-haiku-4-5-20251001`. */
const SNAPSHOT = /-20\d\d-?(0[1-9]|1[0-2])-?([0-2]\d|3[01])$/;

/** Which models exist, and what they cost: by provider (Sluice's names: `together`, not `together_ai`) and name. */
export class PriceTable {
  readonly #providers: ReadonlyMap<string, ReadonlyMap<string, ModelInfo>>;

  constructor(models: Iterable<ModelInfo>) {
    const byProvider = Map.groupBy(models, (model) => model.provider);
    this.#providers = new Map(
      byProvider.entries().map(([provider, list]) => [provider, new Map(list.map((model) => [model.name, model]))]),
    );
  }

  /** The very model, else the model a dated snapshot is of, else nothing: a price is never guessed. */
  find(provider: string, model: string): ModelInfo | undefined {
    const models = this.#providers.get(provider);
    return models?.get(model) ?? models?.get(model.replace(SNAPSHOT, ''));
  }

  lookup(provider: string, model: string): Price | undefined {
    return this.find(provider, model)?.price;
  }

  /** Sorted by name; empty for a provider the table does not know. */
  listModels(provider: string): ReadonlyArray<ModelInfo> {
    return this.#providers.get(provider)?.values().toArray() ?? [];
  }

  providers(): ReadonlyArray<string> {
    return this.#providers.keys().toArray();
  }
}

/** One line of the data file: columns in this order, nulls at the end left out. Prices as in `Price`. */
export type PriceRow = [
  provider: string,
  name: string,
  mode: ModelMode,
  input: number,
  output: number,
  cachedInput?: number | null,
  maxInputTokens?: number | null,
  maxOutputTokens?: number | null,
  /** Separated by spaces. */
  capabilities?: string | null,
  extra?: PriceExtra | null,
];

/** The rarer parts of a price; a tier is `[aboveInputTokens, input, output, cachedInput?]`. */
export interface PriceExtra {
  readonly reasoningOutput?: number;
  readonly cacheWrite?: number;
  readonly audioInput?: number;
  readonly audioOutput?: number;
  readonly tiers?: ReadonlyArray<[aboveInputTokens: number, input: number, output: number, cachedInput?: number]>;
}

let loaded: PriceTable | undefined;

/** The table of shared/data/model-prices.json (made by infra/make-price-table.ts); read once per process. */
export function loadPriceTable(): PriceTable {
  loaded ??= readPriceTable();
  return loaded;
}

function readPriceTable(): PriceTable {
  const text = readFileSync(new URL('data/model-prices.json', import.meta.url), 'utf8');
  const file = JSON.parse(text) as { models: PriceRow[] };
  return new PriceTable(file.models.map(modelOf));
}

function modelOf(row: PriceRow): ModelInfo {
  const [provider, name, mode, input, output, cachedInput, maxInputTokens, maxOutputTokens, capabilities, extra] = row;
  const { tiers, ...otherRates } = extra ?? {};
  return {
    provider,
    name,
    mode,
    price: {
      input,
      output,
      ...(cachedInput != null && { cachedInput }),
      ...otherRates,
      ...(tiers && { tiers: tiers.map(tierOf) }),
    },
    ...(maxInputTokens != null && { maxInputTokens }),
    ...(maxOutputTokens != null && { maxOutputTokens }),
    capabilities: capabilities ? (capabilities.split(' ') as Capability[]) : [],
  };
}

function tierOf([aboveInputTokens, input, output, cachedInput]: NonNullable<PriceExtra['tiers']>[number]): PriceTier {
  return { aboveInputTokens, input, output, ...(cachedInput !== undefined && { cachedInput }) };
}
