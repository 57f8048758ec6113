import { loadConfig } from '../config.ts';
import type { Config } from '../config.ts';

/** The configuration that this YAML is. @throws ConfigError */
export function parseConfig(yaml: string): Config {
  return loadConfig({ argv: { config: 'sluice.yaml' }, env: {}, cwd: '/', readFile: () => yaml });
}
