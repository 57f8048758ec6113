import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import type { TaskHead } from '../../shared/messages/task.ts';
import type { ReceivedTask } from './assemble.ts';
import { Assembly } from './assemble.ts';

const taskOf = (bodyBytes: number): ReceivedTask => ({ head: { bodyBytes } as TaskHead, text: '' });

describe('a body in parts', () => {
  test('is whole with its last part, whatever the parts, and keeps nothing of the socket’s buffer', () => {
    fc.assert(
      fc.property(
        fc.array(fc.uint8Array({ minLength: 1, maxLength: 50 }), { minLength: 2, maxLength: 8 }),
        (pieces) => {
          const parts = pieces.map((piece) => Buffer.from(piece));
          const whole = Buffer.concat(parts);
          const assembly = new Assembly();
          for (const [i, part] of parts.entries()) {
            if (i === 0) assembly.begin('k', taskOf(whole.length), part, 0);
            else {
              const assembled = assembly.add('k', i, part, 0);
              if (i < parts.length - 1) expect(assembled).toEqual({ kind: 'more', taken: i + 1 });
              else expect(assembled.kind === 'whole' && Buffer.concat(assembled.partial.parts)).toEqual(whole);
            }
            part.fill(0);
          }
          expect(assembly.size).toBe(0);
        },
      ),
    );
  });

  test.each([
    { sequence: 2, bytes: 5, why: 'one is missing' },
    { sequence: 0, bytes: 5, why: 'one came again' },
    { sequence: 1, bytes: 6, why: 'it is too long' },
  ])('is broken when $why, and forgotten', ({ sequence, bytes }) => {
    const assembly = new Assembly();
    const task = taskOf(10);
    assembly.begin('k', task, Buffer.alloc(5), 0);
    expect(assembly.add('k', sequence, Buffer.alloc(bytes), 0)).toEqual({ kind: 'broken', head: task.head });
    expect(assembly.add('k', 1, Buffer.alloc(5), 0)).toEqual({ kind: 'broken', head: undefined });
    expect(assembly.size).toBe(0);
  });

  test('that is given up is dropped once', () => {
    const assembly = new Assembly();
    const task = taskOf(10);
    assembly.begin('k', task, Buffer.alloc(5), 0);
    expect(assembly.drop('k')).toBe(task.head);
    expect(assembly.drop('k')).toBeUndefined();
  });

  test('whose next part does not come is dropped after that silence, and no other', () => {
    const assembly = new Assembly();
    assembly.begin('quiet', taskOf(10), Buffer.alloc(1), 0);
    assembly.begin('alive', taskOf(10), Buffer.alloc(1), 0);
    assembly.add('alive', 1, Buffer.alloc(1), 60);
    expect(assembly.dropSilent(99, 100)).toEqual([]);
    expect(assembly.dropSilent(100, 100).map(({ key }) => key)).toEqual(['quiet']);
    expect(assembly.size).toBe(1);
  });
});
