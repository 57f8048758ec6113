import type { ListedModel } from '../shared/catalog.ts';
import type { Config, ProviderConfig, RouteConfig, TargetConfig } from '../shared/config.ts';
import { SIMULATED } from '../shared/providers.ts';

/** What a newcomer needs to see once the gateway is ready. */
export interface BannerFacts {
  readonly version: string;
  readonly config: Config;
  readonly url: string;
  readonly readyMs: number;
  /** The key made by this start; null when there was one already. */
  readonly newKey: string | null;
  readonly nats: string;
  readonly ledger: string;
  readonly models: readonly ListedModel[];
}

const LABEL_WIDTH = 11;

/** A short text for people: address, key, providers, routes, data, and a call to paste. */
export function banner(facts: BannerFacts): string {
  const { config, url, newKey } = facts;
  const rows: Array<[label: string, text: string]> = [
    ['Address', `${url}   (OpenAI base URL: ${url}/v1)`],
    [
      'API key',
      newKey === null
        ? 'made at an earlier start, or in sluice.yaml; `npx sluice keys create` makes another'
        : `${newKey}   (shown once; keep it)`,
    ],
    ['Providers', config.providers.map((provider) => describeProvider(provider, facts.models)).join(', ')],
    [
      'Routes',
      config.routes.length === 0 ? 'none; name a model as provider/model' : config.routes.map(describeRoute).join('\n'),
    ],
    ...config.routers.map(({ name }): [string, string] => [
      'Router',
      `${name}   (OpenAI base URL: ${url}/router/${name}/v1)`,
    ]),
    ['NATS', facts.nats],
    ['Ledger', facts.ledger],
    ['Redis', config.redis.url === undefined ? 'none (single ingress)' : 'configured'],
    ['Data', config.dataDir],
    ['Config', config.file ?? 'defaults and environment (no sluice.yaml)'],
  ];
  const table = rows
    .map(
      ([label, text]) => `  ${label.padEnd(LABEL_WIDTH)}${text.replaceAll('\n', `\n${' '.repeat(LABEL_WIDTH + 2)}`)}`,
    )
    .join('\n');
  const key = newKey ?? '$SLUICE_API_KEY';
  const body = JSON.stringify({
    model: exampleModel(config, facts.models),
    stream: true,
    messages: [{ role: 'user', content: 'Hello!' }],
  });
  const call = [
    `curl -N ${url}/v1/chat/completions \\`,
    `  -H "Authorization: Bearer ${key}" -H "Content-Type: application/json" \\`,
    `  -d '${body}'`,
  ];
  const seconds = (facts.readyMs / 1_000).toFixed(1);
  return `\n  Sluice ${facts.version} is ready (${seconds} s)\n\n${table}\n\n  Try it:\n${call.map((line) => `    ${line}`).join('\n')}\n\n  Then see what it cost:  npx sluice usage\n\n`;
}

function describeProvider({ name, baseUrl }: ProviderConfig, models: readonly ListedModel[]): string {
  if (name === SIMULATED.name) return `${name} (offline: ${SIMULATED.models.join(', ')})`;
  const count = models.filter(({ ownedBy }) => ownedBy === name).length;
  return `${name} (${count === 0 ? (baseUrl ?? 'any model') : `${count} ${count === 1 ? 'model' : 'models'}`})`;
}

function describeRoute({ name, policy: { strategy }, targets, variants, fallbacks }: RouteConfig): string {
  const list = describeTargets(targets);
  const split = variants.map((variant) => `${variant.name} × ${variant.weight}: ${describeTargets(variant.targets)}`);
  const then = fallbacks.length === 0 ? '' : `, else ${describeTargets(fallbacks)}`;
  return `${name} → ${variants.length === 0 ? list : split.join('; ')}${then}  (${strategy})`;
}

function describeTargets(targets: readonly TargetConfig[]): string {
  return targets
    .map(({ provider, model, weight }) => `${provider}/${model}${weight === 1 ? '' : ` × ${weight}`}`)
    .join(', ');
}

function exampleModel({ routes, providers }: Config, models: readonly ListedModel[]): string {
  const route = routes[0]?.name;
  if (route !== undefined) return route;
  if (providers.some(({ name }) => name === SIMULATED.name)) return `${SIMULATED.name}/lorem`;
  const usual = models.find(({ id }) => id.endsWith('/gpt-4o-mini')) ?? models[0];
  return usual?.id ?? `${providers[0]?.name ?? 'provider'}/your-model`;
}
