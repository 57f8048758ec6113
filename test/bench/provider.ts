/** The scripted provider as a process of its own, and what it counts. */
import { fileURLToPath } from 'node:url';
import { startNode } from './child.ts';

export interface ProviderCounts {
  readonly requests: number;
  readonly promptTokens: number;
  readonly completionTokens: number;
}

export interface BenchProvider {
  readonly url: string;
  readonly pid: number;
  configure(script: string): Promise<void>;
  /** What came with this API key since the start. */
  counts(key: string): Promise<ProviderCounts>;
  /** Answers under way. */
  active(): Promise<number>;
  stop(): Promise<void>;
}

interface WireCounters {
  readonly requests: number;
  readonly prompt_tokens: number;
  readonly completion_tokens: number;
}

export async function startBenchProvider(): Promise<BenchProvider> {
  const main = fileURLToPath(new URL('../support/provider-main.ts', import.meta.url));
  const child = await startNode('provider', [main, '--port', '0']);
  const [, url = ''] = await child.line(/scripted provider on (\S+)/);
  const get = async (path: string): Promise<unknown> => {
    const response = await fetch(`${url}/_mock/${path}`);
    if (!response.ok) throw new Error(`the provider refuses ${path}: ${await response.text()}`);
    return response.json();
  };
  const stats = () => get('stats') as Promise<{ active: number; by_label_key_model: Record<string, WireCounters> }>;
  return {
    url,
    pid: child.pid,
    configure: async (script) => void (await get(`config?${script}`)),
    counts: async (key) => {
      const sum = { requests: 0, promptTokens: 0, completionTokens: 0 };
      for (const [series, counters] of Object.entries((await stats()).by_label_key_model)) {
        if (series.split('|')[1] !== key) continue;
        sum.requests += counters.requests;
        sum.promptTokens += counters.prompt_tokens;
        sum.completionTokens += counters.completion_tokens;
      }
      return sum;
    },
    active: async () => (await stats()).active,
    stop: () => child.stop(),
  };
}
