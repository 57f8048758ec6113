import { expect, test } from 'vitest';
import { cubeWith } from './cubes.ts';
import type { GroupColumn } from './cubes.ts';

test.each<{ columns: GroupColumn[]; cube: string | undefined; why: string }>([
  { columns: [], cube: 'team', why: 'the sum of all is that of the fewest groups' },
  { columns: ['team', 'error'], cube: 'team', why: 'all others know these too, and have more groups' },
  { columns: ['team', 'model', 'error'], cube: 'main', why: 'users know these too, and there are more of them' },
  { columns: ['route', 'deployment'], cube: 'main', why: 'nobody else does' },
  { columns: ['user_id', 'team'], cube: 'user', why: 'nobody else does' },
  { columns: ['tag_name', 'tag_value', 'team'], cube: 'tag', why: 'nobody else does' },
  { columns: ['user_id', 'route'], cube: undefined, why: 'no cube knows both' },
  { columns: ['user_id', 'tag_name', 'tag_value'], cube: undefined, why: 'no cube knows both' },
])('$columns is read from $cube: $why', ({ columns, cube }) => {
  expect(cubeWith(columns)).toBe(cube);
});
