/** The three sides of every measurement: the provider itself, the yardstick in front of it, Sluice in front of it. */
import { fileURLToPath } from 'node:url';
import { startNode } from './child.ts';
import { startGateway } from './gateway.ts';
import type { BenchGateway, GatewayOptions } from './gateway.ts';
import { Inspector } from './inspector.ts';
import { processTree } from './proc-cpu.ts';
import type { BenchProvider } from './provider.ts';

export const SIDES = ['direct', 'yardstick', 'sluice'] as const;
export type SideName = (typeof SIDES)[number];

/** Whose CPU and memory is told apart. */
export type Part = 'gateway' | 'nats' | 'postgres' | 'provider' | 'loadgen';

export interface Side {
  readonly name: SideName;
  readonly url: string;
  readonly key: string;
  /** The key that the provider sees. */
  readonly providerKey: string;
  readonly model: string;
  /** The processes of each part, as they are now. */
  parts(): ReadonlyMap<Part, readonly number[]>;
  readonly gateway: BenchGateway | undefined;
  /** Into the process that takes the requests. */
  inspector(): Promise<Inspector | undefined>;
  stop(): Promise<void>;
}

const PATH = '/v1/chat/completions';
const YARDSTICK = fileURLToPath(new URL('./yardstick.ts', import.meta.url));

export function directSide({ url }: BenchProvider): Side {
  const key = 'sk-direct';
  return {
    name: 'direct',
    url: url + PATH,
    key,
    providerKey: key,
    model: 'gpt-4o-mini',
    parts: () => new Map(),
    gateway: undefined,
    inspector: () => Promise.resolve(undefined),
    stop: () => Promise.resolve(),
  };
}

export async function startYardstick({ url }: BenchProvider): Promise<Side> {
  const child = await startNode('yardstick', ['--inspect-port=127.0.0.1:0', YARDSTICK, url]);
  const [, own = ''] = await child.line(/yardstick on (\S+)/);
  let inspector: Inspector | undefined;
  return {
    name: 'yardstick',
    url: own + PATH,
    key: 'sk-anything',
    providerKey: 'sk-yardstick',
    model: 'gpt-4o-mini',
    parts: () => new Map([['gateway', [child.pid]]]),
    gateway: undefined,
    inspector: async () => (inspector ??= await Inspector.open(child)),
    stop: () => {
      inspector?.close();
      return child.stop();
    },
  };
}

export async function startSluice(options: GatewayOptions): Promise<Side> {
  const gateway = await startGateway(options);
  return {
    name: 'sluice',
    url: gateway.url + PATH,
    key: gateway.key,
    providerKey: gateway.providerKey,
    model: gateway.model,
    parts: () => partsOf(gateway.roots()),
    gateway,
    inspector: () => gateway.inspector(),
    stop: () => gateway.stop(),
  };
}

/** Embedded servers are known by their names, wherever in the tree they stand. */
function partsOf(roots: readonly number[]): Map<Part, number[]> {
  const parts = new Map<Part, number[]>([
    ['gateway', []],
    ['nats', []],
    ['postgres', []],
  ]);
  for (const root of roots) {
    for (const { pid, name } of processTree(root)) {
      const part = name.startsWith('nats-server') ? 'nats' : name.startsWith('postgres') ? 'postgres' : 'gateway';
      parts.get(part)?.push(pid);
    }
  }
  return parts;
}
