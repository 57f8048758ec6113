import type { ComplexityConfig, Tier } from '../../../shared/config.ts';
import type { PromptSketch } from '../../../shared/messages/envelope.ts';
import { readPrompt } from './prompt-signs.ts';

/** What each dimension, itself from 0 to 1, adds to the score. The sum is cut at 1: no real request has all of them. */
const WEIGHTS = {
  /** Words that ask for reasoning: the best single sign that a small model fails. */
  reasoning: 0.42,
  /** Source code and stack traces; words about programming count for less. */
  code: 0.25,
  /** Formulas and the words of mathematics: one wrong step spoils the answer. */
  maths: 0.25,
  /** Something is to be made or explained, rather than looked up. */
  making: 0.15,
  /** Several instructions at once: lists, questions, words such as "then" and "must". */
  parts: 0.2,
  /** Length of the last user message: more to take into account. */
  length: 0.2,
  /** Length of the conversation: a short "go on" may continue something hard. */
  context: 0.15,
  /** Tools to choose from: calling them well needs a better model than chatting does. */
  tools: 0.2,
  /** Long conversations: what was said before must be kept in mind. */
  turns: 0.1,
  /** An answer in a schema: providers enforce its form, but what is filled in must still be right. */
  schema: 0.1,
  /** Lookups, translations, summaries, small talk: what small models do well. */
  lookup: -0.2,
} as const satisfies Record<string, number>;

type Dimension = keyof typeof WEIGHTS;

/** No more of a message is read, whatever the caller sends. */
const MAX_CHARS = 16_384;

/**
 * How hard a request is, from 0 to 1: a weighted sum of signs that cost microseconds to read; no model is asked. The way
 * is that of ClawRouter (BlockRunAI, 14 weighted dimensions of sizes and keywords) and of LiteLLM's complexity router
 * after it. Unlike there, code and material to be translated or summed up are not read as instructions, and the system
 * prompt, the same for each request, says nothing. What such signs cannot see, a classifier trained on preferences can
 * (RouteLLM, Ong et al. 2024), for the price of an embedding for each request.
 *
 * Words are English, with a few German, French and Spanish ones; sizes, code, formulas, lists and tools count in any
 * language.
 */
export function scoreComplexity(prompt: PromptSketch): number {
  const signs = signsOf(prompt);
  let score = 0;
  for (const dimension of Object.keys(WEIGHTS) as Dimension[]) score += WEIGHTS[dimension] * signs[dimension];
  return Math.min(1, Math.max(0, score));
}

export function tierOf(score: number, { medium, complex }: Pick<ComplexityConfig, 'medium' | 'complex'>): Tier {
  if (score >= complex) return 'complex';
  return score >= medium ? 'medium' : 'simple';
}

/** Each dimension from 0 to 1. */
function signsOf(prompt: PromptSketch): Record<Dimension, number> {
  const { words, ...text } = readPrompt(prompt.lastUser.slice(0, MAX_CHARS));
  const code = Math.max(ratio(text.fencedChars, 1_000), ratio(text.codeLines - 1, 12), text.hasStackTrace ? 0.5 : 0);
  const [items, questions] = [ratio(text.items - 1, 4), ratio(text.questions - 1, 3)];
  const maths = Math.max(step(words.maths, [0, 0.6, 1]), step(text.formulaSigns, [0, 0.6, 1]));
  // "What is the proof of …, and why", or "What does this do" over a page of code, only begins as a lookup does.
  const isLookup = text.isLookup && words.reasoning < 2 && code === 0 && maths === 0;
  return {
    reasoning: step(words.reasoning, [0, 0.5, 0.8, 1]),
    code: code > 0 ? 0.5 + 0.5 * code : step(words.programming, [0, 0.35, 0.5, 0.6]),
    maths,
    making: isLookup ? 0 : step(words.making, [0, 0.7, 1]),
    parts: Math.max(items, questions, step(words.linking, [0, 0, 0.3, 0.5, 0.8, 1])),
    length: logRatio(prompt.lastUser.length, 400, 12_000),
    context: logRatio(prompt.totalChars - prompt.systemChars, 4_000, 100_000),
    tools: prompt.tools > 0 ? 0.4 + 0.6 * ratio(prompt.tools - 1, 9) : 0,
    turns: logRatio(prompt.turns, 3, 24),
    schema: prompt.wantsSchema ? 1 : 0,
    lookup: isLookup ? 1 : 0,
  };
}

/** The entry for a count; the last one stands for all that are larger. */
function step(count: number, table: readonly number[]): number {
  return table[Math.min(count, table.length - 1)] ?? 0;
}

/** From 0 at 0 to 1 at `full`. */
function ratio(value: number, full: number): number {
  return Math.min(1, Math.max(0, value / full));
}

/** From 0 at `low` to 1 at `high`, each doubling by as much. */
function logRatio(value: number, low: number, high: number): number {
  return value <= low ? 0 : Math.min(1, Math.log(value / low) / Math.log(high / low));
}
