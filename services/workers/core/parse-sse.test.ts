import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { EventTooLarge, SseReader } from './parse-sse.ts';

function read(chunks: Buffer[], maxEventBytes = 1_000): { data: string[]; raw: string; rest: boolean } {
  const data: string[] = [];
  const raw: string[] = [];
  const reader = new SseReader((eventRaw, eventData) => {
    raw.push(eventRaw.toString());
    data.push(eventData.toString());
  }, maxEventBytes);
  for (const chunk of chunks) reader.push(chunk);
  return { data, raw: raw.join(''), rest: reader.partial.length > 0 };
}

const cut = (text: string, at: number[]): Buffer[] => {
  const bytes = Buffer.from(text);
  const points = [...new Set([0, ...at.map((n) => n % (bytes.length + 1)), bytes.length])].sort((a, b) => a - b);
  return points.slice(1).map((end, i) => bytes.subarray(points[i], end));
};

describe('server-sent events', () => {
  test.each([
    { stream: 'data: a\n\ndata: b\n\n', data: ['a', 'b'], why: 'LF' },
    { stream: 'data: a\r\n\r\ndata: b\r\n\r\n', data: ['a', 'b'], why: 'CRLF' },
    { stream: 'data: a\r\rdata: b\r\r\n', data: ['a', 'b'], why: 'CR' },
    { stream: 'data:a\n\n', data: ['a'], why: 'no space after the colon' },
    { stream: 'data:  a\n\n', data: [' a'], why: 'one space is taken, a second belongs to the data' },
    { stream: ': ping\n\ndata: a\n\n', data: ['', 'a'], why: 'a comment is an event without data' },
    { stream: 'event: x\nid: 7\ndata: a\n\n', data: ['a'], why: 'other fields are passed by' },
    { stream: 'data: a\ndata: b\n\n', data: ['a\nb'], why: 'several data lines' },
    { stream: 'data: a\u2028b\u0085c\n\n', data: ['a\u2028b\u0085c'], why: 'unicode line separators are text' },
    { stream: 'database: a\n\n', data: [''], why: 'a field that begins like data' },
  ])('$why', ({ stream, data }) => {
    expect(read([Buffer.from(stream)]).data).toEqual(data);
  });

  test('are the same however the bytes are cut', () => {
    const event = fc.tuple(
      fc.constantFrom('data: ', 'data:', ': ', 'event: e\ndata: '),
      fc.constantFrom('x', 'ü\u2028€', '{"a":1}', ''),
    );
    const ends = fc.constantFrom('\n', '\r\n');
    fc.assert(
      fc.property(
        fc.array(event, { minLength: 1, maxLength: 5 }),
        ends,
        fc.array(fc.nat(), { maxLength: 12 }),
        (events, end, at) => {
          const stream = events.map(([field, text]) => `${field}${text}\n\n`.replaceAll('\n', end)).join('');
          expect(read(cut(stream, at))).toEqual(read([Buffer.from(stream)]));
        },
      ),
    );
  });

  test('give every byte back in `raw`, and say when the last event has no end', () => {
    const whole = 'data: a\r\n\r\n: c\n\n';
    expect(read([Buffer.from(`${whole}data: b`)])).toEqual({ data: ['a', ''], raw: whole, rest: true });
  });

  test('one event beyond the limit is refused', () => {
    expect(() => read([Buffer.from('data: '), Buffer.alloc(2_000, 'x')])).toThrow(EventTooLarge);
  });
});
