import { LineCounter, isAlias, isMap, isNode, isScalar, isSeq, parseDocument } from 'yaml';
import type { Document } from 'yaml';
import type { ConfigPath } from './errors.ts';

/** A YAML file as plain values, which still knows the line of each. */
export interface ConfigDocument {
  /** Maps, lists, strings, numbers, booleans, null. */
  readonly value: unknown;
  /** Why the text is not YAML; `value` is then undefined. */
  readonly syntaxErrors: ReadonlyArray<{ readonly line: number; readonly message: string; readonly hint?: string }>;
  /** The line of the key (or list item) at `path`, or of the nearest one around it that exists. From 1. */
  lineOf(path: ConfigPath): number | undefined;
}

export const EMPTY_DOCUMENT: ConfigDocument = { value: undefined, syntaxErrors: [], lineOf: () => undefined };

export function parseConfigDocument(text: string): ConfigDocument {
  const lines = new LineCounter();
  const document = parseDocument(text, { lineCounter: lines, prettyErrors: false, logLevel: 'error' });
  const lineOf = (path: ConfigPath) => {
    const offset = offsetOf(document, path);
    return offset === undefined ? undefined : lines.linePos(offset).line;
  };
  const failure = (line: number, message: string) => ({
    value: undefined,
    syntaxErrors: [{ line, message: `not valid YAML: ${message}`, ...hintFor(text.split('\n')[line - 1]) }],
    lineOf,
  });
  // One problem: what the parser says after the first is mostly its consequence.
  const [error] = document.errors;
  if (error !== undefined) return failure(lines.linePos(error.pos[0]).line, withoutSource(error.message));
  try {
    const value: unknown = document.toJS();
    JSON.stringify(value);
    return { value, syntaxErrors: [], lineOf };
  } catch {
    return failure(1, 'an alias (*name) has no anchor (&name) before it, refers to itself, or is used too often');
  }
}

/** The parser quotes the text at fault, which may be a secret. */
function withoutSource(message: string): string {
  return message.replace(/ in YAML stream: .*/s, '');
}

/** `{ port: ${PORT} }` is the mistake everybody makes once. */
function hintFor(line: string | undefined): { hint?: string } {
  const isLikely = line !== undefined && /[{[].*\$\{/.test(line);
  return isLikely ? { hint: 'write "${NAME}" in quotes where it stands inside of { } or [ ]' } : {};
}

function offsetOf(document: Document, path: ConfigPath): number | undefined {
  let node: unknown = document.contents;
  let offset: number | undefined;
  for (const part of path) {
    if (isAlias(node)) node = node.resolve(document);
    if (isMap(node)) {
      const pair = node.items.find(({ key }) => textOf(key) === String(part));
      if (pair === undefined) return offset;
      offset = startOf(pair.key) ?? offset;
      node = pair.value;
    } else if (isSeq(node)) {
      node = node.items[Number(part)];
      offset = startOf(node) ?? offset;
    } else return offset;
  }
  return offset;
}

function textOf(key: unknown): string {
  return isScalar(key) ? String(key.value) : '';
}

function startOf(node: unknown): number | undefined {
  return isNode(node) ? node.range?.[0] : undefined;
}
