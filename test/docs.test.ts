import { existsSync, readFileSync, readdirSync } from 'node:fs';
import path from 'node:path';
import { describe, expect, test } from 'vitest';
import { loadConfig } from '../shared/config.ts';

const root = path.resolve(import.meta.dirname, '..');
const pages = [
  'README.md',
  'CONTRIBUTING.md',
  'CHANGELOG.md',
  ...readdirSync(path.join(root, 'docs'), { recursive: true, encoding: 'utf8' }).map((file) => `docs/${file}`),
].filter((file) => file.endsWith('.md'));
const read = (page: string): string => readFileSync(path.join(root, page), 'utf8');

const examples = pages.flatMap((page) =>
  [...read(page).matchAll(/```yaml\n(.*?)```/gs)].map((match, i) => ({ page, example: i + 1, text: match[1] ?? '' })),
);

describe('the documentation', () => {
  test.each(examples)('$page, configuration example $example is one that starts', ({ text }) => {
    const env = Object.fromEntries(
      [...text.matchAll(/\$\{(\w+)\}/g)].map((match) => [match[1] ?? '', 'sk-of-an-example']),
    );
    const config = loadConfig({ argv: { config: '/docs/sluice.yaml' }, env, cwd: '/docs', readFile: () => text });
    expect(config.providers.length).toBeGreaterThan(0);
  });

  test.each(pages)('%s links to pages that exist', (page) => {
    const links = [...read(page).matchAll(/\]\((?!https?:)([^)#]+)(?:#[^)]*)?\)/g)].map((match) => match[1] ?? '');
    expect(links.filter((link) => !existsSync(path.join(root, path.dirname(page), link)))).toEqual([]);
  });

  test('the configuration reference has every key that is supported, by its name', () => {
    const folder = 'shared/config/schema';
    const files = readdirSync(path.join(root, folder)).map((file) => `${folder}/${file}`);
    const text = ['shared/config/schema.ts', ...files].map(read).join('\n');
    const fields = [...text.matchAll(/[{,]\s+([a-z][a-z_]*): [a-z][A-Za-z]*[(.,]/g)].map((match) => match[1] ?? '');
    const reference = read('docs/configuration.md');
    expect(fields.length).toBeGreaterThan(60);
    expect(fields.filter((field) => !new RegExp(`\\b${field}\\b`).test(reference))).toEqual([]);
  });
});
