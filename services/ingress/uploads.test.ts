import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { FrameType } from '../../shared/messages/frame.ts';
import { PART_BYTES, Uploads } from './uploads.ts';

interface Sent {
  readonly to: string;
  readonly stream: number;
  readonly sequence: number;
  readonly bytes: number;
}

function make(): { uploads: Uploads; sent: Sent[] } {
  const sent: Sent[] = [];
  const uploads = new Uploads({
    post: (to, _reply, type, stream, sequence, _head, body) => {
      expect(type).toBe(FrameType.chunk);
      sent.push({ to, stream, sequence, bytes: body?.length ?? 0 });
    },
  });
  return { uploads, sent };
}

describe('a body that does not fit one message', () => {
  test('waits for the worker’s word on its first part, then keeps four on their way', () => {
    const { uploads, sent } = make();
    uploads.begin('w', 'i', 1, Buffer.alloc(7 * PART_BYTES + 1));
    expect(sent).toEqual([]);
    uploads.onTaken(1, 1);
    expect(sent.map(({ sequence }) => sequence)).toEqual([1, 2, 3, 4]);
    uploads.onTaken(1, 3);
    expect(sent.map(({ sequence }) => sequence)).toEqual([1, 2, 3, 4, 5, 6]);
    for (const taken of [4, 5, 6, 7, 8]) uploads.onTaken(1, taken);
    expect(sent.map(({ bytes }) => bytes)).toEqual([...Array<number>(6).fill(PART_BYTES), 1]);
  });

  test('of one part needs none of this', () => {
    const { uploads, sent } = make();
    const body = Buffer.alloc(PART_BYTES);
    expect(Uploads.firstPart(body)).toBe(body);
    uploads.begin('w', 'i', 1, body);
    uploads.onTaken(1, 1);
    expect(sent).toEqual([]);
  });

  test('is not moved by a word that is old, too large, or of nobody', () => {
    const { uploads, sent } = make();
    uploads.begin('w', 'i', 1, Buffer.alloc(20 * PART_BYTES));
    for (const taken of [0, 2, 1_000_000]) uploads.onTaken(1, taken);
    uploads.onTaken(7, 1);
    expect(sent).toEqual([]);
    uploads.onTaken(1, 1);
    uploads.onTaken(1, 1);
    expect(sent).toHaveLength(4);
  });

  test('that ends sends no more', () => {
    const { uploads, sent } = make();
    uploads.begin('w', 'i', 1, Buffer.alloc(20 * PART_BYTES));
    uploads.end(1);
    uploads.onTaken(1, 1);
    expect(sent).toEqual([]);
  });

  test('many at once: never more than 64 parts on their way but the first of each, and all come to their end', () => {
    const step = fc.record({
      stream: fc.nat({ max: 29 }),
      leaves: fc.boolean(),
      parts: fc.integer({ min: 1, max: 4 }),
    });
    fc.assert(
      fc.property(fc.array(step, { maxLength: 150, size: 'max' }), (steps) => {
        const { uploads, sent } = make();
        const body = Buffer.alloc(9 * PART_BYTES);
        const taken = new Map<number, number>();
        const ended = new Set<number>();
        const sentOf = (stream: number): number => 1 + sent.filter((part) => part.stream === stream).length;
        const onTheWay = (): number =>
          [...taken]
            .filter(([stream]) => !ended.has(stream))
            .reduce((sum, [stream, count]) => sum + sentOf(stream) - count, 0);
        for (let stream = 0; stream < 30; stream++) {
          uploads.begin('w', 'i', stream, body);
          taken.set(stream, 0);
        }
        const take = (stream: number, parts: number): void => {
          const now = Math.min((taken.get(stream) ?? 0) + parts, sentOf(stream));
          taken.set(stream, now);
          uploads.onTaken(stream, now);
        };
        for (const { stream, leaves, parts } of steps) {
          if (leaves && stream % 5 === 0) {
            ended.add(stream);
            uploads.end(stream);
          } else if (!ended.has(stream)) take(stream, parts);
          expect(onTheWay()).toBeLessThanOrEqual(64);
        }
        for (let round = 0; round < 300; round++)
          for (const stream of taken.keys()) if (!ended.has(stream)) take(stream, 4);
        for (const stream of taken.keys()) if (!ended.has(stream)) expect(sentOf(stream)).toBe(9);
      }),
      { numRuns: 20 },
    );
  });
});
