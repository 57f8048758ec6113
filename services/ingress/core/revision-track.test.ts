import { expect, test } from 'vitest';
import { RevisionTrack } from './revision-track.ts';

type Step = readonly [at: number, what: 'change' | 'beat' | 'gap' | 'lost' | 'up to date', revision?: number];

/** Begins at revision 5, with what came before forgotten. */
const START: Step[] = [
  [0, 'beat', 5],
  [0, 'lost'],
  [0, 'up to date'],
];

test.each<{ why: string; steps: Step[] }>([
  {
    why: 'beats of the same revision',
    steps: [
      [1, 'beat', 5],
      [5_000, 'up to date'],
    ],
  },
  {
    why: 'a change that is heard of',
    steps: [
      [1, 'change', 6],
      [2, 'beat', 6],
      [5_000, 'up to date'],
    ],
  },
  {
    why: 'a beat before its change',
    steps: [
      [1, 'beat', 6],
      [500, 'up to date'],
      [500, 'change', 6],
      [5_000, 'up to date'],
    ],
  },
  {
    why: 'a change that is lost, told by a beat',
    steps: [
      [1, 'beat', 6],
      [250, 'beat', 6],
      [500, 'up to date'],
      [501, 'lost'],
      [502, 'up to date'],
      [5_000, 'beat', 6],
      [9_000, 'up to date'],
    ],
  },
  {
    why: 'a change that is lost, told by the next one',
    steps: [
      [1, 'change', 7],
      [500, 'up to date'],
      [501, 'lost'],
      [502, 'change', 8],
      [5_000, 'up to date'],
    ],
  },
  {
    why: 'changes out of order',
    steps: [
      [1, 'change', 8],
      [2, 'change', 6],
      [3, 'beat', 8],
      [4, 'change', 7],
      [5_000, 'up to date'],
    ],
  },
  {
    why: 'the clock of a second loss begins anew',
    steps: [
      [1, 'beat', 6],
      [100, 'change', 6],
      [400, 'beat', 7],
      [600, 'up to date'],
      [900, 'lost'],
    ],
  },
  {
    why: 'each of many changes in a row is late, but none for long',
    steps: [
      [1, 'beat', 6],
      [300, 'beat', 7],
      [301, 'change', 6],
      [302, 'change', 7],
      [800, 'up to date'],
    ],
  },
  {
    why: 'a message that comes twice',
    steps: [
      [1, 'change', 6],
      [2, 'change', 6],
      [3, 'change', 4],
      [900, 'up to date'],
    ],
  },
  {
    why: 'what changed while nothing could be received is lost at once',
    steps: [
      [1, 'gap'],
      [2, 'beat', 7],
      [2, 'lost'],
      [3, 'beat', 8],
      [4, 'up to date'],
      [503, 'lost'],
    ],
  },
  {
    why: 'nothing changed while nothing could be received',
    steps: [
      [1, 'gap'],
      [2, 'beat', 5],
      [900, 'up to date'],
    ],
  },
  {
    why: 'a ledger that is a moment behind the others',
    steps: [
      [1, 'change', 6],
      [2, 'beat', 5],
      [9_000, 'beat', 6],
      [12_000, 'beat', 5],
      [15_000, 'up to date'],
    ],
  },
  {
    why: 'an earlier database',
    steps: [
      [1, 'beat', 2],
      [10_000, 'beat', 2],
      [10_000, 'up to date'],
      [10_001, 'beat', 2],
      [10_001, 'lost'],
      [10_002, 'beat', 3],
      [10_600, 'lost'],
    ],
  },
])('$why', ({ steps }) => {
  const track = new RevisionTrack();
  for (const [at, what, revision = 0] of [...START, ...steps]) {
    if (what === 'change') track.onChange(revision, at);
    else if (what === 'beat') track.onBeat(revision, at);
    else if (what === 'gap') track.onGap();
    else expect(track.takeLost(at), `at ${at}`).toBe(what === 'lost');
  }
});

test('a flood of changes without the one before them is not waited for', () => {
  const track = new RevisionTrack();
  track.onBeat(5, 0);
  track.takeLost(0);
  for (let revision = 7; revision < 1_008; revision++) track.onChange(revision, 0);
  expect(track.takeLost(0)).toBe(true);
  track.onBeat(1_007, 1);
  expect(track.takeLost(9_000)).toBe(false);
});
