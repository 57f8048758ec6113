/** What the text of one message shows. Counts of words are of distinct ones: saying it twice makes nothing harder. */
export interface PromptSigns {
  readonly words: Readonly<Record<WordKind, number>>;
  /** It begins as a lookup or small talk does, or with a chore whose material follows. */
  readonly isLookup: boolean;
  /** Characters between code fences. */
  readonly fencedChars: number;
  /** Lines outside fences that look like code. */
  readonly codeLines: number;
  readonly hasStackTrace: boolean;
  /** Items of numbered and bulleted lists. */
  readonly items: number;
  readonly questions: number;
  /** Distinct signs of formulas. */
  readonly formulaSigns: number;
}

export type WordKind = 'reasoning' | 'making' | 'maths' | 'programming' | 'linking';

/** Instructions stand at the beginning or the end of a message; what is between is mostly material. */
const HEAD_CHARS = 1_200;
const TAIL_CHARS = 400;
/** "Translate this: …": at most so far goes the instruction. */
const CHORE_CHARS = 240;
/** A question of more words than this is no mere lookup, however it begins. */
const MAX_LOOKUP_WORDS = 40;
/** Of a line only so much is looked at. */
const LINE_CHARS = 200;

/** Words and phrases of up to three words, in lower case, without punctuation. */
const WORDS: Readonly<Record<WordKind, readonly string[]>> = {
  /** Ask for reasoning. */
  reasoning: phrases(`
    prove, proof, derive, deduce, step by step, chain of thought, think through, reason through, reasoning, why, compare,
    contrast, trade off, trade offs, tradeoff, tradeoffs, pros and cons, evaluate, critique, analyze, analyse, assess,
    justify, design, architect, architecture, refactor, debug, diagnose, root cause, troubleshoot, optimize, optimise,
    optimal, strategy, implications, hypothesis, edge cases, failure modes, race condition, deadlock, time complexity,
    scalable, fault tolerant, consistency, distributed, lock free, migrate, migration, investigate, counterexample,
    contradiction, rigorous, rigorously, prioritize, prioritise, what if,
    schritt für schritt, beweise, warum, vergleiche, entwirf, pourquoi, démontre, étape par étape, conçois, por qué,
    demuestra, paso a paso, diseña`),
  /** Ask for something to be made or explained, rather than looked up. */
  making: phrases(`
    explain, implement, write, build, create, develop, generate, describe, draft, fix, solve, calculate, compute, improve,
    review, how does, how do, how can, how to, essay, story, report,
    erkläre, schreibe, explique, écris, escribe, explica`),
  maths: phrases(`
    theorem, lemma, integral, integrate, derivative, differentiate, differential, equation, equations, eigenvalue,
    eigenvalues, matrix, polynomial, probability, irrational, prime numbers, converge, converges, convergence, bayes,
    combinatorics, modulo, bijection, induction, logarithm, calculus, infimum, supremum, variance, standard deviation`),
  programming: phrases(`
    python, javascript, typescript, java, rust, golang, kotlin, sql, postgres, mysql, redis, kafka, kubernetes, docker,
    terraform, react, bash, regex, api, endpoint, function, algorithm, compiler, database, query, thread, mutex, async,
    recursion, recursive, linked list, binary tree, hash map, unit test, unit tests, code, codebase, bug, stack trace,
    exception, segfault, null pointer, memory leak, microservice, microservices, backend, cache, script, failing test`),
  /** Join several instructions. */
  linking: phrases(`
    then, finally, first, second, third, next, after that, additionally, also, must, should, ensure, make sure, at least,
    at most, without, except, unless, constraint, constraints, requirement, requirements, each, handle, include`),
};

/** How a message begins that asks for something small. */
const LOOKUPS = new Set(
  phrases(`
    what is, what are, what s, what was, what does, what time, who, when, where, which, how many, how much, how old,
    how tall, how far, how long, how do you say, define, definition of, meaning of, list, name, convert, spell, capital of,
    thanks, thank, good morning, yes, no, ok, okay, is, are, does, tell me,
    was ist, wer ist, wo ist, wie viele, qu est ce, quelle est, combien, qué es, cuál es, cuántos`),
);
/** How a message begins that asks for a chore and brings the text for it, whose words are no instructions. */
const CHORES = new Set(
  phrases(`
    translate, summarise, summarize, summary of, give a summary, tldr, tl dr, proofread, correct, rephrase, paraphrase,
    shorten, extract, classify, categorize, categorise, fix the grammar, fix the spelling, fix grammar, fix spelling,
    übersetze, fasse, traduis, résume, traduce, resume`),
);
/** Go before what is asked. */
const COURTESIES = new Set(['please', 'can', 'could', 'would', 'you', 'hi', 'hello', 'hey', 'bitte', 'there']);

const KINDS: ReadonlyMap<string, WordKind> = new Map(
  (Object.keys(WORDS) as WordKind[]).flatMap((kind) => WORDS[kind].map((phrase): [string, WordKind] => [phrase, kind])),
);

/** How a line of a stack trace, or of code, begins and ends, but for white space. */
const TRACE_STARTS = ['traceback (most', 'file "', 'caused by:', 'exception in thread', 'goroutine ', 'panic:'];
const CODE_STARTS = [
  'def ',
  'import ',
  'function ',
  'const ',
  'var ',
  'public ',
  'private ',
  '#include',
  'func ',
  '</',
];
const CODE_ENDS = ['{', '}', ';', '):', '=>', '},', '})'];
const FORMULA_SIGNS = [
  ...['\\frac', '\\sum', '\\int', '\\lim', '\\sqrt', '\\begin{', '$$', '^2', '^n', '²', ' mod '],
  ...['∫', '∑', '√', '∀', '∃', '∈', '∂', '∇', '≤', '≥', '≠', '∞'],
];

/**
 * Reads one message. Linear in its length: the text is cut at fences, lines and words by searching forward, words are
 * looked up in tables, and there is no pattern that could backtrack.
 */
export function readPrompt(message: string): PromptSigns {
  const { prose, fencedChars } = splitFences(message.toLowerCase());
  const opening = openingOf(prose);
  const instructions = opening === 'chore' ? choreOf(prose) : endsOf(prose);
  return {
    words: countKinds(wordsOf(instructions)),
    isLookup: opening !== 'task',
    fencedChars,
    ...readLines(prose),
    formulaSigns: FORMULA_SIGNS.filter((sign) => prose.includes(sign)).length,
  };
}

/** What is outside ``` fences, and how much is inside. A fence that is never closed goes to the end. */
function splitFences(text: string): { prose: string; fencedChars: number } {
  let prose = '';
  let fencedChars = 0;
  text.split('```').forEach((part, at) => {
    if (at % 2 === 0) prose += `${part}\n`;
    else fencedChars += part.length;
  });
  return { prose, fencedChars };
}

function openingOf(prose: string): 'chore' | 'lookup' | 'task' {
  const words = wordsOf(prose.slice(0, HEAD_CHARS));
  const start = words.findIndex((word) => !COURTESIES.has(word));
  // Nothing but a greeting, or nothing in words.
  if (start === -1) return prose.length < HEAD_CHARS ? 'lookup' : 'task';
  const opens = (known: ReadonlySet<string>): boolean => [1, 2, 3].some((n) => known.has(phraseAt(words, start, n)));
  if (opens(CHORES)) return 'chore';
  return words.length <= MAX_LOOKUP_WORDS && opens(LOOKUPS) ? 'lookup' : 'task';
}

/** The instruction of a chore, without its material. */
function choreOf(prose: string): string {
  const head = prose.trimStart().slice(0, CHORE_CHARS);
  const ends = [head.indexOf(':'), head.indexOf('\n')].filter((at) => at >= 0);
  return head.slice(0, Math.min(head.length, ...ends));
}

function endsOf(prose: string): string {
  if (prose.length <= HEAD_CHARS + TAIL_CHARS) return prose;
  return `${prose.slice(0, HEAD_CHARS)}\n${prose.slice(-TAIL_CHARS)}`;
}

function readLines(prose: string): Pick<PromptSigns, 'codeLines' | 'hasStackTrace' | 'items' | 'questions'> {
  let codeLines = 0;
  let hasStackTrace = false;
  let items = 0;
  let questions = 0;
  for (const whole of prose.split('\n')) {
    const line = whole.slice(0, LINE_CHARS).trim();
    if (line === '') continue;
    if (isItem(line)) items++;
    if (whole.includes('?')) questions++;
    if (startsWithAny(line, TRACE_STARTS) || (line.startsWith('at ') && line.endsWith(')'))) hasStackTrace = true;
    else if (startsWithAny(line, CODE_STARTS) || CODE_ENDS.some((end) => line.endsWith(end))) codeLines++;
  }
  return { codeLines, hasStackTrace, items, questions };
}

/** `1. …`, `2) …`, `- …`, `* …` or `• …`. */
function isItem(line: string): boolean {
  return /^(?:\d{1,2}[.)]|[-*•])\s/.test(line);
}

function startsWithAny(line: string, starts: readonly string[]): boolean {
  return starts.some((start) => line.startsWith(start));
}

/** How many distinct words or phrases of each kind there are; the longest phrase at each word counts. */
function countKinds(words: readonly string[]): Record<WordKind, number> {
  const found = new Set<string>();
  const counts = { reasoning: 0, making: 0, maths: 0, programming: 0, linking: 0 };
  for (let at = 0; at < words.length; at++) {
    for (let length = 3; length > 0; length--) {
      const phrase = phraseAt(words, at, length);
      const kind = KINDS.get(phrase);
      if (kind === undefined) continue;
      if (!found.has(phrase)) counts[kind]++;
      found.add(phrase);
      at += length - 1;
      break;
    }
  }
  return counts;
}

function phraseAt(words: readonly string[], at: number, length: number): string {
  return words.slice(at, at + length).join(' ');
}

function wordsOf(text: string): string[] {
  return text.match(/[\p{L}\p{N}]+/gu) ?? [];
}

function phrases(list: string): string[] {
  return list.split(',').map((phrase) => wordsOf(phrase).join(' '));
}
