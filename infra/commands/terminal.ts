import { styleText } from 'node:util';

type Style = Parameters<typeof styleText>[0];

/** A reader that has seen enough (`sluice usage | head`) is no failure. */
export function setUpTerminal(): void {
  process.stdout.on('error', (error: NodeJS.ErrnoException) => {
    if (error.code === 'EPIPE') process.exit(0);
    throw error;
  });
}

/** Characters a line may have: the terminal's, or COLUMNS; without a bound when a program reads it. */
export function terminalWidth(env: NodeJS.ProcessEnv = process.env): number {
  const asked = Number(env['COLUMNS']);
  if (Number.isInteger(asked) && asked > 0) return asked;
  return process.stdout.isTTY ? process.stdout.columns : Infinity;
}

export function print(text: string): void {
  process.stdout.write(`${text}\n`);
}

/** For people who look on: progress, hints. Never part of what a program reads. */
export function note(text: string): void {
  process.stderr.write(`${text}\n`);
}

/** A bigint becomes a string of digits: JSON numbers are floats in most readers. */
export function printJson(value: unknown): void {
  print(JSON.stringify(value, (_key, part: unknown) => (typeof part === 'bigint' ? String(part) : part), 2));
}

/** Coloured only where stdout is a terminal and NO_COLOR is not set (FORCE_COLOR overrules both). */
export function styled(style: Style, text: string): string {
  return styleText(style, text, { stream: process.stdout });
}

/**
 * Text that others chose (a model's name comes from a client), made safe to show: control characters could move the
 * cursor or recolour the terminal, direction marks could make a line read as another.
 */
export function printable(text: string, allowed = ''): string {
  return text.replace(/[\p{Cc}\u200e\u200f\u202a-\u202e\u2066-\u2069]/gu, (character) =>
    allowed.includes(character) ? character : '\ufffd',
  );
}

/** Cells that a text takes in a terminal: combining marks none, wide East Asian characters and emoji two. */
export function displayWidth(text: string): number {
  let width = 0;
  for (const character of text) {
    if (/[\p{Mn}\p{Me}\p{Cf}]/u.test(character)) continue;
    width += WIDE.test(character) ? 2 : 1;
  }
  return width;
}

const WIDE =
  /[\u1100-\u115f\u2e80-\u303e\u3041-\ua4cf\uac00-\ud7a3\uf900-\ufaff\ufe30-\ufe6f\uff00-\uff60\uffe0-\uffe6\u{20000}-\u{3fffd}]|\p{Emoji_Presentation}/u;
