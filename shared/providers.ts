import type { OutputLimit, Prefill } from './config/types.ts';

/** A provider that a user may name without saying more: wire format, base URL, and the variable that holds its key. */
export interface KnownProvider {
  readonly name: string;
  readonly dialect: 'openai';
  /** As the provider publishes it; `/chat/completions` is appended. */
  readonly baseUrl: string;
  readonly envKey: string;
  /** How its models are made to continue a text; absent: not at all. */
  readonly prefill?: Prefill;
  /** Prefill is offered at base URLs that end like this only. */
  readonly prefillAt?: string;
  /** Absent: `max_tokens`, the older name, which nearly every server knows. */
  readonly outputLimit?: OutputLimit;
}

/** Only providers that speak OpenAI's format. Names are also those of the price table. */
export const KNOWN_PROVIDERS: ReadonlyArray<KnownProvider> = [
  {
    name: 'openai',
    dialect: 'openai',
    baseUrl: 'https://api.openai.com/v1',
    envKey: 'OPENAI_API_KEY',
    outputLimit: 'max_completion_tokens',
  },
  {
    name: 'groq',
    dialect: 'openai',
    baseUrl: 'https://api.groq.com/openai/v1',
    envKey: 'GROQ_API_KEY',
    outputLimit: 'max_completion_tokens',
  },
  {
    name: 'mistral',
    dialect: 'openai',
    baseUrl: 'https://api.mistral.ai/v1',
    envKey: 'MISTRAL_API_KEY',
    prefill: 'prefix',
  },
  {
    name: 'deepseek',
    dialect: 'openai',
    baseUrl: 'https://api.deepseek.com',
    envKey: 'DEEPSEEK_API_KEY',
    prefill: 'prefix',
    // "Chat Prefix Completion (Beta)": without /beta the message would be taken for one that is over.
    prefillAt: '/beta',
  },
  {
    name: 'xai',
    dialect: 'openai',
    baseUrl: 'https://api.x.ai/v1',
    envKey: 'XAI_API_KEY',
    outputLimit: 'max_completion_tokens',
  },
  {
    name: 'openrouter',
    dialect: 'openai',
    baseUrl: 'https://openrouter.ai/api/v1',
    envKey: 'OPENROUTER_API_KEY',
    prefill: 'assistant',
  },
  { name: 'together', dialect: 'openai', baseUrl: 'https://api.together.ai/v1', envKey: 'TOGETHER_API_KEY' },
  {
    name: 'fireworks',
    dialect: 'openai',
    baseUrl: 'https://api.fireworks.ai/inference/v1',
    envKey: 'FIREWORKS_API_KEY',
  },
  {
    name: 'cerebras',
    dialect: 'openai',
    baseUrl: 'https://api.cerebras.ai/v1',
    envKey: 'CEREBRAS_API_KEY',
    outputLimit: 'max_completion_tokens',
  },
  { name: 'perplexity', dialect: 'openai', baseUrl: 'https://api.perplexity.ai', envKey: 'PERPLEXITY_API_KEY' },
];

/** The built-in provider: an HTTP server inside the process, which answers without anybody's API key. */
export const SIMULATED = {
  name: 'simulated',
  models: ['echo', 'lorem'],
  /** Pretended, 0.15 and 0.60 USD per million tokens, so that a first call shows what costs look like. */
  price: { input: 150_000_000, output: 600_000_000 },
} as const;

export function knownProvider(name: string): KnownProvider | undefined {
  return KNOWN_PROVIDERS.find((provider) => provider.name === name);
}

/** How the models of a known provider are made to continue a text, at the address that is in force. */
export function knownPrefill(known: KnownProvider | undefined, baseUrl: string | undefined): Prefill {
  if (known?.prefill === undefined) return 'none';
  return known.prefillAt === undefined || baseUrl?.endsWith(known.prefillAt) ? known.prefill : 'none';
}
