import { expect, test } from 'vitest';
import { GroupCommit } from './group-commit.ts';

/** Commits when it is let, and remembers its batches. */
function grouping(overrides: { readonly maxWaiting?: number; readonly patienceMs?: number } = {}) {
  const batches: (readonly number[])[] = [];
  const time = { now: 0 };
  let release: () => void = () => undefined;
  const group = new GroupCommit<number, number>({
    commit: async (questions) => {
      batches.push(questions);
      await new Promise<void>((resolve) => (release = resolve));
      if (questions.includes(13)) throw new Error('unlucky');
      return questions.map((question) => question * 2);
    },
    clock: { now: () => time.now },
    ...{ maxBatch: 3, maxWaiting: 100, patienceMs: 100, ...overrides },
  });
  const turn = () => new Promise((resolve) => setImmediate(resolve));
  return { group, batches, time, turn, release: () => release() };
}

test('those that ask while a commit is under way go together in the next', async () => {
  const { group, batches, turn, release } = grouping();
  const answers = [group.ask(1)];
  await turn();
  answers.push(group.ask(2), group.ask(3), group.ask(4), group.ask(5));
  for (let i = 0; i < 3; i++) {
    release();
    await turn();
  }
  expect(await Promise.all(answers)).toEqual([2, 4, 6, 8, 10]);
  expect(batches).toEqual([[1], [2, 3, 4], [5]]);
  await group.idle();
});

test('when a commit fails all of its askers learn it, and the next ones do not', async () => {
  const { group, turn, release } = grouping();
  const failed = Promise.allSettled([group.ask(13), group.ask(1)]);
  await turn();
  const other = group.ask(7);
  release();
  await turn();
  release();
  expect((await failed).map(({ status }) => status)).toEqual(['rejected', 'rejected']);
  expect(await other).toBe(14);
});

test('who waited too long, or comes when too many wait, is told so', async () => {
  const { group, batches, time, turn, release } = grouping({ maxWaiting: 1 });
  const first = group.ask(1);
  await turn();
  const second = group.ask(2);
  await expect(group.ask(3)).rejects.toMatchObject({ code: 'overloaded' });
  time.now = 101;
  release();
  await expect(second).rejects.toMatchObject({ code: 'overloaded' });
  expect(await first).toBe(2);
  expect(batches).toEqual([[1]]);
});
