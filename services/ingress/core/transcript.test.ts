import { expect, test } from 'vitest';
import { Transcript, TranscriptRoom } from './transcript.ts';

const MEBIBYTE = 1024 * 1024;

test('a stream’s bytes are kept as they came, though their buffers are used again', () => {
  const transcript = new Transcript(new TranscriptRoom(MEBIBYTE));
  const chunk = Buffer.alloc(10_000);
  for (const letter of 'abc') transcript.add(chunk.fill(letter));
  expect(transcript.bytes?.toString()).toBe(['a', 'b', 'c'].map((letter) => letter.repeat(10_000)).join(''));
});

test('a stream beyond a mebibyte is not kept', () => {
  const transcript = new Transcript(new TranscriptRoom(10 * MEBIBYTE));
  transcript.add(Buffer.alloc(MEBIBYTE));
  expect(transcript.bytes).toHaveLength(MEBIBYTE);
  transcript.add(Buffer.alloc(1));
  expect(transcript.bytes).toBeUndefined();
  transcript.add(Buffer.alloc(1));
  expect(transcript.bytes).toBeUndefined();
});

test('all together have no more than their room, and give it back', () => {
  const room = new TranscriptRoom(40 * 1024);
  const [first, second, third] = [new Transcript(room), new Transcript(room), new Transcript(room)];
  expect(third.bytes).toBeUndefined();
  first.add(Buffer.alloc(17 * 1024));
  expect(first.bytes).toBeUndefined();
  second.add(Buffer.alloc(32 * 1024));
  expect(second.bytes).toHaveLength(32 * 1024);
  second.end();
  second.end();
  expect(room.take(40 * 1024)).toBe(true);
  expect(room.take(1)).toBe(false);
});
