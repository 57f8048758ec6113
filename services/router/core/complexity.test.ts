import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { DEFAULT_COMPLEXITY } from '../../../shared/config.ts';
import type { PromptSketch } from '../../../shared/messages/envelope.ts';
import { scoreComplexity, tierOf } from './complexity.ts';

/** A first message without anything else. */
function sketch(lastUser: string, more: Partial<PromptSketch> = {}): PromptSketch {
  return { lastUser, systemChars: 0, totalChars: lastUser.length, turns: 1, tools: 0, wantsSchema: false, ...more };
}
const tier = (prompt: PromptSketch): string => tierOf(scoreComplexity(prompt), DEFAULT_COMPLEXITY);

const ARTICLE =
  'Why do empires fall? Some compare Rome with Byzantium, analyse their trade-offs and derive a theorem. ';
const FUNCTION =
  '```ts\nexport function sum(xs: number[]) {\n  let total = 0;\n  for (const x of xs) total += x;\n}\n```';
const TRACE = `TypeError: Cannot read properties of undefined (reading 'id')
    at Router.pick (/app/src/router.js:41:17)
    at Server.handle (/app/src/server.js:120:9)`;

describe('the tier of a prompt', () => {
  test.each([
    'hi',
    'Hello there!',
    'Thanks, that was great.',
    '👍',
    'What is the capital of France?',
    "What's 2 + 2?",
    'Who wrote Moby Dick?',
    'How many litres are in a gallon?',
    'Which Python version is the newest?',
    'Define entropy.',
    'List three fruits that are red.',
    'Translate "good morning" to Spanish.',
    'Please translate to German: Why do you compare yourself with others? Design your own life, step by step.',
    `Summarise this article:\n\n${ARTICLE.repeat(6)}`,
    `Summarize the following text in two sentences.\n\n${ARTICLE.repeat(3)}`,
    'Fix the grammar: she dont know why he go there',
    'Convert 10 miles to kilometres.',
    'Can you tell me a joke?',
    'Write a haiku about autumn.',
    'Was ist die Hauptstadt von Frankreich?',
    '法国的首都是哪里？',
    'Is a tomato a fruit?',
  ])('simple: %s', (prompt) => {
    expect(tier(sketch(prompt))).toBe('simple');
  });

  test.each([
    'Why is the sky blue?',
    'Explain how a Python generator works.',
    'Write a Python function that reverses a linked list.',
    'Compare Postgres and MySQL.',
    'Write a SQL query that finds the ten best customers of each month.',
    `What does this do?\n${FUNCTION}\nExplain it.`,
    'Solve the equation x^2 - 5x + 6 = 0.',
    'What is the probability of two sixes, and what is the variance of their sum? Show √ and ≤ where needed.',
    'Erkläre, warum der Himmel blau ist.',
    'Draft a polite letter to my landlord. It must mention the broken heating, should ask for a date, and also the rent.',
    `Fix this error.\n${TRACE}`,
    'Write an essay about the implications of universal basic income.',
  ])('medium: %s', (prompt) => {
    expect(tier(sketch(prompt))).toBe('medium');
  });

  test.each([
    'Prove that the square root of 2 is irrational, step by step.',
    'Design a distributed rate limiter and compare its trade-offs with a central one.',
    `Refactor this function, analyse its time complexity and explain why it is faster:\n${FUNCTION}`,
    `Debug this. What is the root cause?\n${TRACE}\n${FUNCTION}`,
    'Derive the formula ∑ 1/n² = π²/6 and evaluate how fast it converges.',
    'Plan the migration of our monolith:\n1. Analyse the database.\n2. Design the services.\n3. Assess the risks.\n4. Write a plan.',
    'What is the proof that there are infinitely many primes, why does it work, and what if there were only one? Be rigorous.',
    'Démontre étape par étape que √2 est irrationnel, et explique pourquoi.',
    `Why does this deadlock?\n${FUNCTION.repeat(6)}\nThink through every race condition.`,
  ])('complex: %s', (prompt) => {
    expect(tier(sketch(prompt))).toBe('complex');
  });
});

describe('the rest of a request', () => {
  test.each([
    { prompt: sketch('go on'), is: 'simple', why: 'nothing to go on with' },
    { prompt: sketch('go on', { totalChars: 90_000, turns: 20 }), is: 'medium', why: 'a long conversation' },
    { prompt: sketch('go on', { systemChars: 90_000, totalChars: 90_005 }), is: 'simple', why: 'a long system prompt' },
    {
      prompt: sketch('Fix the failing test.', { systemChars: 20_000, totalChars: 120_000, turns: 8, tools: 15 }),
      is: 'complex',
      why: 'an agent at work',
    },
    { prompt: sketch('What is the weather in Paris?', { tools: 1 }), is: 'simple', why: 'one tool for a lookup' },
    { prompt: sketch('Book me a table for two.', { tools: 12 }), is: 'medium', why: 'many tools' },
    {
      prompt: sketch(`Fill in the form.\n${'Customer 4711 ordered two chairs. '.repeat(60)}`, { wantsSchema: true }),
      is: 'medium',
      why: 'a schema to fill from a long text',
    },
  ])('$is: $why', ({ prompt, is }) => {
    expect(tier(prompt)).toBe(is);
  });

  test('the score is from 0 to 1 for any text, and more of the rest never makes it smaller', () => {
    const sizes = fc.record({
      systemChars: fc.nat({ max: 1_000 }),
      totalChars: fc.nat({ max: 1_000_000 }),
      turns: fc.nat({ max: 100 }),
      tools: fc.nat({ max: 200 }),
      wantsSchema: fc.boolean(),
    });
    fc.assert(
      fc.property(fc.string({ unit: 'binary' }), sizes, fc.nat({ max: 100 }), (text, more, extra) => {
        const prompt = sketch(text, more);
        const score = scoreComplexity(prompt);
        expect(score).toBeGreaterThanOrEqual(0);
        expect(score).toBeLessThanOrEqual(1);
        const harder = { turns: more.turns + extra, tools: more.tools + extra, totalChars: more.totalChars + extra };
        expect(scoreComplexity({ ...prompt, ...harder, wantsSchema: true })).toBeGreaterThanOrEqual(score);
      }),
    );
  });
});

test.each([
  { score: 0, is: 'simple' },
  { score: 0.29, is: 'simple' },
  { score: 0.3, is: 'medium' },
  { score: 0.6, is: 'complex' },
  { score: 1, is: 'complex' },
])('with thresholds of 0.3 and 0.6, $score is $is', ({ score, is }) => {
  expect(tierOf(score, { medium: 0.3, complex: 0.6 })).toBe(is);
});

describe('16 KiB of anything are read in no time', () => {
  const full = (unit: string): string => unit.repeat(Math.ceil(16_384 / unit.length));
  // The megabyte would take minutes if it were not cut, or if anything were read again for each character.
  test.each([
    ...[
      'a',
      ' ',
      '\n',
      '`',
      '```',
      '```\n',
      '1',
      '1.',
      '- ',
      '(',
      '\\',
      '?',
      '; ',
      'at ',
      'at (',
      'step by ',
      'İ',
      '😀',
      '\ud800',
      '\t \n',
    ].map(full),
    full('what is why prove \n'),
    full('a'.repeat(30) + '!'),
    ' '.repeat(1_000_000) + 'x',
  ])('%#', (text) => {
    // What backtracks would take minutes, and run into the test's limit.
    expect(scoreComplexity(sketch(text))).toBeLessThanOrEqual(1);
  });
});
