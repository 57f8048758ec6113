import type { ByteRange } from '../../../shared/messages/task.ts';

/** Bytes to put in place of a range; an empty range inserts, no bytes remove. */
export interface Edit {
  readonly at: ByteRange;
  readonly bytes: Buffer;
}

/**
 * Replaces ranges of a body that may come in parts, without copying what stays.
 * @param edits do not overlap; offsets count from the beginning of the first part
 */
export function editBytes(parts: readonly Buffer[], edits: readonly Edit[]): Buffer[] {
  // What is inserted where another range begins goes before it.
  const sorted = edits.toSorted((a, b) => a.at[0] - b.at[0] || a.at[1] - b.at[1]);
  const out: Buffer[] = [];
  let from = 0;
  for (const { at, bytes } of sorted) {
    pushSlice(out, parts, from, at[0]);
    if (bytes.length > 0) out.push(bytes);
    from = at[1];
  }
  pushSlice(out, parts, from, Infinity);
  return out;
}

/**
 * The same for one small part, in one new buffer: a copy costs less than handing on the pieces.
 * @param edits in order, without overlap
 */
export function spliceBytes(bytes: Buffer, edits: readonly Edit[]): Buffer {
  let length = bytes.length;
  for (const { at, bytes: put } of edits) length += put.length - (at[1] - at[0]);
  const out = Buffer.allocUnsafe(length);
  let to = 0;
  let from = 0;
  for (const { at, bytes: put } of edits) {
    to += bytes.copy(out, to, from, at[0]);
    to += put.copy(out, to);
    from = at[1];
  }
  bytes.copy(out, to, from);
  return out;
}

function pushSlice(out: Buffer[], parts: readonly Buffer[], from: number, to: number): void {
  let offset = 0;
  for (const part of parts) {
    const start = Math.max(from - offset, 0);
    const end = Math.min(to - offset, part.length);
    if (start < end) out.push(start === 0 && end === part.length ? part : part.subarray(start, end));
    offset += part.length;
  }
}

/** The bytes of a range as text. */
export function textOf(parts: readonly Buffer[], [start, end]: ByteRange): string {
  const slices: Buffer[] = [];
  pushSlice(slices, parts, start, end);
  return slices.length === 1 ? (slices[0] as Buffer).toString('utf8') : Buffer.concat(slices).toString('utf8');
}
