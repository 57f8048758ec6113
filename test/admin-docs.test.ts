import { readFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import { OPERATION_IDS, operationOf } from '../shared/admin/operations.ts';

test('docs/admin-api.md has every operation, as it is', () => {
  const page = readFileSync(new URL('../docs/admin-api.md', import.meta.url), 'utf8');
  const rows = [...page.matchAll(/^\| `(GET|POST|PUT|PATCH|DELETE)`.*$/gm)].map(([row]) =>
    row.split('|').map((cell) => cell.trim()),
  );
  const expected = OPERATION_IDS.map(operationOf).map(({ method, path, summary, roles }) => [
    '',
    `\`${method}\``,
    `\`${path}\``,
    summary,
    roles.join(', '),
    '',
  ]);
  expect(rows).toEqual(expected);
});
