import fc from 'fast-check';
import { expect, test } from 'vitest';
import { Heap } from './heap.ts';

type Step = { kind: 'push'; value: number } | { kind: 'pop' } | { kind: 'retain' } | { kind: 'sink'; by: number };

const step: fc.Arbitrary<Step> = fc.oneof(
  { weight: 4, arbitrary: fc.record({ kind: fc.constant('push' as const), value: fc.nat({ max: 20 }) }) },
  { weight: 2, arbitrary: fc.record({ kind: fc.constant('pop' as const) }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('retain' as const) }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('sink' as const), by: fc.nat({ max: 20 }) }) },
);

test('the top is what a sorted list would have first, whatever happened before', () => {
  fc.assert(
    fc.property(fc.array(step, { maxLength: 80, size: 'max' }), (steps) => {
      const heap = new Heap<{ value: number }>((a, b) => a.value < b.value);
      let model: number[] = [];
      for (const act of steps) {
        if (act.kind === 'push') {
          heap.push({ value: act.value });
          model.push(act.value);
        } else if (act.kind === 'pop') {
          expect(heap.pop()?.value).toBe(model.shift());
        } else if (act.kind === 'retain') {
          heap.retain(({ value }) => value % 3 !== 0);
          model = model.filter((value) => value % 3 !== 0);
        } else {
          const top = heap.top();
          if (top === undefined) continue;
          top.value += act.by;
          heap.sinkTop();
          model[0] = (model[0] ?? 0) + act.by;
        }
        model.sort((a, b) => a - b);
        expect(heap.size).toBe(model.length);
        expect(heap.top()?.value).toBe(model[0]);
      }
    }),
  );
});
