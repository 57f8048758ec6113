/**
 * Makes shared/data/model-prices.json: `node infra/make-price-table.ts <source.json>`.
 *
 * The source is a map from model key to the public facts of one model, prices in USD per token:
 *   "together_ai/Qwen/QwQ-32B": { "provider": "together_ai", "mode": "chat", "input_cost_per_token": 1.2e-06, … }
 * It is not part of the repository, and nothing reads it at run time. What becomes of it:
 * - prices: the number's decimal text, exactly, to integer nano-dollars per million tokens (10^15 of USD per token).
 *   A price that is not an integer at this unit ends the run, unless it has 16 or more significant digits: nobody lists
 *   such a price, it is what float arithmetic left (8.900000000000001e-07, or 8/7 from a currency). That one becomes
 *   the nearest integer, off by less than half a nano-dollar in a million tokens;
 * - provider: Sluice's name (`PROVIDERS` below); name: the key without its provider's prefix;
 * - kept: chat and embedding models, and those of the modes `completion` and `responses` that say they are served by
 *   chat (as mode chat); only with a price above zero for input and, unless an embedding, for output: a zero in the
 *   source means as often "not filled in" as "free", and what is not known must not be billed as free;
 * - left out: Together's price classes by size (`together-ai-4.1b-8b`), which are not models;
 * - the same model under two keys: the entry with a price; with two different prices, the run ends.
 * Batch, priority and flex rates, images, seconds and characters are left out.
 */
import { readFileSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { MAX_RATE } from '../shared/pricing.ts';
import type { Capability, ModelMode, PriceExtra, PriceRow } from '../shared/pricing.ts';

/** A source entry: numbers are kept as their decimal text, so that no float stands between source and table. */
export type Entry = Readonly<Record<string, string | boolean | null | readonly unknown[] | DecimalText>>;

export class DecimalText {
  readonly text: string;

  constructor(text: string) {
    this.text = text;
  }
}

/** Source provider → Sluice's name, where they differ; `vertex_ai-…` is `vertex_ai`. */
const PROVIDERS: Readonly<Record<string, string>> = {
  together_ai: 'together',
  fireworks_ai: 'fireworks',
  'fireworks_ai-embedding-models': 'fireworks',
  'text-completion-openai': 'openai',
  'text-completion-codestral': 'codestral',
  'text-completion-inception': 'inception',
  cohere_chat: 'cohere',
  bedrock_converse: 'bedrock',
  azure_text: 'azure',
};

const CAPABILITIES: ReadonlyArray<[field: string, capability: Capability]> = [
  ['supports_function_calling', 'tools'],
  ['supports_parallel_function_calling', 'parallel-tools'],
  ['supports_vision', 'vision'],
  ['supports_pdf_input', 'pdf'],
  ['supports_audio_input', 'audio'],
  ['supports_response_schema', 'schema'],
  ['supports_reasoning', 'reasoning'],
  ['supports_prompt_caching', 'caching'],
];

const SIZE_CLASS = /^together-ai-/;

const DECIMAL = /^(\d+)(?:\.(\d+))?(?:[eE]([+-]?\d+))?$/;

/** USD per token → nano-dollars per million tokens. 9 digits for nano, 6 for a million. */
const SHIFT = 15;

/** From this many significant digits on, a number is the residue of float arithmetic: a double holds 15 exactly. */
const RESIDUE_DIGITS = 16;

/** Exact: `1.25e-06` → 1_250_000_000. @throws Error when it is no integer at this unit, or beyond MAX_RATE. */
export function rateOf(usdPerToken: string): number {
  const match = DECIMAL.exec(usdPerToken);
  if (match?.[1] === undefined) throw new Error(`${usdPerToken} is not a price`);
  const [, whole, fraction = '', exponent = '0'] = match;
  const digits = BigInt(whole + fraction);
  const shift = SHIFT + Number(exponent) - fraction.length;
  const scale = 10n ** BigInt(Math.abs(shift));
  const isExact = shift >= 0 || digits % scale === 0n;
  if (!isExact && !isFloatResidue(usdPerToken)) {
    throw new Error(`${usdPerToken} USD per token is not an integer in nano-dollars per million tokens`);
  }
  const rate = shift < 0 ? (digits + scale / 2n) / scale : digits * scale;
  if (rate > BigInt(MAX_RATE)) throw new Error(`${usdPerToken} USD per token is dearer than MAX_RATE`);
  return Number(rate);
}

function isFloatResidue(number: string): boolean {
  const significant = number
    .replace(/[eE].*/, '')
    .replace('.', '')
    .replace(/^0+/, '');
  return significant.length >= RESIDUE_DIGITS;
}

/** The row of one source entry; undefined for what the gateway does not serve or has no price for. */
export function rowOf(key: string, entry: Entry): PriceRow | undefined {
  const source = entry['provider'];
  const mode = modeOf(entry);
  if (typeof source !== 'string' || mode === undefined || SIZE_CLASS.test(key)) return undefined;
  const input = rateIn(entry, 'input_cost_per_token');
  const output = rateIn(entry, 'output_cost_per_token') ?? (mode === 'embedding' ? 0 : undefined);
  if (!input || output === undefined || (mode === 'chat' && output === 0)) return undefined;
  const provider = providerOf(source);
  const cachedInput = rateIn(entry, 'cache_read_input_token_cost') ?? rateIn(entry, 'input_cost_per_token_cache_hit');
  const row: PriceRow = [
    provider,
    nameOf(key, source, provider),
    mode,
    input,
    output,
    cachedInput ?? null,
    countIn(entry, 'max_input_tokens') ?? null,
    countIn(entry, 'max_output_tokens') ?? null,
    CAPABILITIES.filter(([field]) => entry[field] === true)
      .map(([, capability]) => capability)
      .join(' ') || null,
    extraOf(entry, { input, output, cachedInput }) ?? null,
  ];
  while (row.at(-1) === null) row.pop();
  return row;
}

function modeOf(entry: Entry): ModelMode | undefined {
  const { mode, supported_endpoints: endpoints } = entry;
  if (mode === 'chat' || mode === 'embedding') return mode;
  const isServedByChat = Array.isArray(endpoints) && endpoints.includes('/v1/chat/completions');
  return isServedByChat && (mode === 'completion' || mode === 'responses') ? 'chat' : undefined;
}

function providerOf(source: string): string {
  return source.startsWith('vertex_ai') ? 'vertex_ai' : (PROVIDERS[source] ?? source);
}

/** `azure/eu/gpt-4.1` → `eu/gpt-4.1`: only the provider's own prefix goes. */
function nameOf(key: string, source: string, provider: string): string {
  const [first = '', ...rest] = key.split('/');
  const prefixes = [source, provider, `${provider}_ai`, source.replaceAll('_', '-')];
  return rest.length > 0 && prefixes.includes(first) ? rest.join('/') : key;
}

interface BaseRates {
  readonly input: number;
  readonly output: number;
  readonly cachedInput: number | undefined;
}

function extraOf(entry: Entry, base: BaseRates): PriceExtra | undefined {
  const reasoningOutput = rateIn(entry, 'output_cost_per_reasoning_token');
  const cacheWrite = rateIn(entry, 'cache_creation_input_token_cost');
  const audioInput = rateIn(entry, 'input_cost_per_audio_token');
  const audioOutput = rateIn(entry, 'output_cost_per_audio_token');
  const tiers = tiersOf(entry, base);
  const extra: PriceExtra = {
    ...(reasoningOutput !== undefined && reasoningOutput !== base.output && { reasoningOutput }),
    ...(cacheWrite !== undefined && { cacheWrite }),
    ...(audioInput !== undefined && { audioInput }),
    ...(audioOutput !== undefined && { audioOutput }),
    ...(tiers.length > 0 && { tiers }),
  };
  return Object.keys(extra).length > 0 ? extra : undefined;
}

/** A rate that a tier does not name is the base rate. */
function tiersOf(entry: Entry, base: BaseRates): NonNullable<PriceExtra['tiers']>[number][] {
  const thousands = new Set(Object.keys(entry).map((field) => /_above_(\d+)k_tokens$/.exec(field)?.[1]));
  const sorted = [...thousands].filter((k) => k !== undefined).sort((a, b) => Number(a) - Number(b));
  return sorted
    .filter((k) => entry[`input_cost_per_token_above_${k}k_tokens`] !== undefined)
    .map((k) => {
      const input = rateIn(entry, `input_cost_per_token_above_${k}k_tokens`) ?? base.input;
      const output = rateIn(entry, `output_cost_per_token_above_${k}k_tokens`) ?? base.output;
      const cached = rateIn(entry, `cache_read_input_token_cost_above_${k}k_tokens`) ?? base.cachedInput;
      const above = Number(k) * 1_000;
      return cached === undefined ? [above, input, output] : [above, input, output, cached];
    });
}

function rateIn(entry: Entry, field: string): number | undefined {
  const value = entry[field];
  return value instanceof DecimalText ? rateOf(value.text) : undefined;
}

function countIn(entry: Entry, field: string): number | undefined {
  const value = entry[field];
  return value instanceof DecimalText ? Number(value.text) : undefined;
}

/** Sorted by provider and name in code units, so that the file does not depend on a locale. */
export function rowsOf(source: Readonly<Record<string, Entry>>): PriceRow[] {
  const rows = new Map<string, PriceRow>();
  for (const [key, entry] of Object.entries(source)) {
    const row = rowOf(key, entry);
    if (row === undefined) continue;
    const id = `${row[0]}/${row[1]}`;
    const other = rows.get(id);
    if (other !== undefined && !hasSamePrice(other, row)) {
      throw new Error(`${id} has two prices in the source`);
    }
    rows.set(id, other ?? row);
  }
  const sortKey = (row: PriceRow) => `${row[0]}\0${row[1]}`;
  return rows
    .values()
    .toArray()
    .sort((a, b) => (sortKey(a) < sortKey(b) ? -1 : 1));
}

function hasSamePrice(one: PriceRow, other: PriceRow): boolean {
  return [3, 4, 5].every((column) => one[column] === other[column]);
}

type ReviveWithSource = (key: string, value: unknown, context: { readonly source?: string }) => unknown;

/** The reviver's third argument (JSON.parse source text access) is not in TypeScript's library yet. */
const parseWithSource = JSON.parse as (text: string, revive: ReviveWithSource) => unknown;

/** JSON.parse, with each number as its decimal text. */
export function parseSource(text: string): Record<string, Entry> {
  return parseWithSource(text, (_key, value, context) =>
    typeof value === 'number' ? new DecimalText(context.source ?? String(value)) : value,
  ) as Record<string, Entry>;
}

function main(): void {
  const { positionals } = parseArgs({ allowPositionals: true });
  const source = positionals[0];
  if (source === undefined) throw new Error('usage: node infra/make-price-table.ts <source.json>');
  const rows = rowsOf(parseSource(readFileSync(source, 'utf8')));
  const lines = rows.map((row) => JSON.stringify(row)).join(',\n');
  const target = new URL('../shared/data/model-prices.json', import.meta.url);
  writeFileSync(target, `{"unit":"nano-dollars per million tokens","models":[\n${lines}\n]}\n`);
  console.log(`${rows.length} models in ${fileURLToPath(target)}`);
}

if (import.meta.main) main();
