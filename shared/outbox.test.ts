import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import {
  FRAME_HEADER_BYTES,
  PARCEL_HEADER_BYTES,
  PoisonedMessage,
  readNumber,
  readParcel,
  splitHead,
} from './messages/frame.ts';
import { Outbox } from './outbox.ts';
import { ParcelWriter } from './parcel-writer.ts';

interface Frame {
  readonly type: number;
  readonly stream: number;
  readonly sequence: number;
  readonly payload: string;
}

interface Posted extends Omit<Frame, 'payload'> {
  readonly subject: string;
  readonly reply: string;
  readonly head: string | number;
  readonly body: Buffer | undefined;
}

const u32 = fc.oneof(fc.nat({ max: 3 }), fc.integer({ min: 0, max: 0xffff_ffff }));
const size = fc.oneof(
  { weight: 20, arbitrary: fc.nat({ max: 200 }) },
  { weight: 3, arbitrary: fc.nat({ max: 20_000 }) },
  // Beyond what one parcel takes, beyond what is kept, beyond every buffer so far.
  { weight: 1, arbitrary: fc.constantFrom(4_083, 240 * 1024, 256 * 1024, 600_000) },
);
const posted: fc.Arbitrary<Posted> = fc.record({
  subject: fc.constantFrom('a', 'b', 'c'),
  reply: fc.constantFrom('', '', 'x', 'y'),
  type: fc.nat({ max: 255 }),
  stream: u32,
  sequence: u32,
  head: fc.oneof(fc.string({ unit: 'binary', maxLength: 40 }), u32),
  body: fc.option(
    fc.tuple(size, fc.nat({ max: 255 })).map(([length, byte]) => Buffer.alloc(length, byte)),
    { nil: undefined },
  ),
});
type Turn = readonly Posted[];
const turns = fc.array(fc.array(posted, { maxLength: 12 }), { maxLength: 12, size: 'max' });

const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString('hex');

function payloadOf({ head, body = Buffer.alloc(0) }: Posted): string {
  const start = Buffer.alloc(4);
  if (typeof head === 'number') start.writeUInt32BE(head);
  return hex(Buffer.concat([typeof head === 'number' ? start : Buffer.from(head), body]));
}

/** A client as NATS' is: what it was given is copied when the turn ends, or when much is waiting. */
class Client {
  readonly received = new Map<string, Array<Frame & { reply: string }>>();
  readonly parcelBytes: number[] = [];
  #waiting: Array<{ subject: string; reply: string; parcel: Uint8Array }> = [];

  publish(subject: string, reply: string, parcel: Uint8Array): void {
    this.#waiting.push({ subject, reply, parcel });
  }

  endTurn(): void {
    for (const { subject, reply, parcel } of this.#waiting) {
      this.parcelBytes.push(parcel.length);
      const frames = this.received.get(subject) ?? [];
      readParcel(parcel, (type, stream, sequence, payload) =>
        frames.push({ type, stream, sequence, payload: hex(payload), reply }),
      );
      this.received.set(subject, frames);
    }
    this.#waiting = [];
  }
}

function makeOutbox(client: Client): { outbox: Outbox; endTurn: () => void; pass: (ms: number) => void } {
  let now = 0;
  let atTurnEnd: Array<() => void> = [];
  let timers: Array<{ at: number; run: () => void }> = [];
  const outbox = new Outbox((...parcel) => client.publish(...parcel), {
    now: () => now,
    atTurnEnd: (flush) => void atTurnEnd.push(flush),
    after: (flush, ms) => void timers.push({ at: now + ms, run: flush }),
  });
  const endTurn = (): void => {
    const flushes = atTurnEnd;
    atTurnEnd = [];
    for (const flush of flushes) flush();
    client.endTurn();
  };
  const pass = (ms: number): void => {
    now += ms;
    const due = timers.filter(({ at }) => at <= now);
    timers = timers.filter(({ at }) => at > now);
    for (const { run } of due) run();
    endTurn();
  };
  return { outbox, endTurn, pass };
}

function post(outbox: Outbox, { subject, reply, type, stream, sequence, head, body }: Posted): void {
  if (typeof head === 'number') outbox.postNumber(subject, reply, type, stream, sequence, head, body);
  else outbox.post(subject, reply, type, stream, sequence, head, body);
}

describe('an outbox', () => {
  test('whatever is posted comes out whole, in order for each subject, with its own reply, once', () => {
    fc.assert(
      fc.property(turns, (all: readonly Turn[]) => {
        const client = new Client();
        const { outbox, endTurn, pass } = makeOutbox(client);
        for (const turn of all) {
          for (const frame of turn) {
            post(outbox, frame);
            // The bytes that were posted are the poster's again at once.
            frame.body?.fill(frame.body[0] ?? 0);
          }
          endTurn();
        }
        pass(1_000);
        for (const subject of ['a', 'b', 'c']) {
          const expected = all.flat().filter((frame) => frame.subject === subject);
          const seen = client.received.get(subject) ?? [];
          expect(seen).toEqual(
            expected.map((frame) => ({
              type: frame.type,
              stream: frame.stream,
              sequence: frame.sequence,
              payload: payloadOf(frame),
              reply: frame.reply,
            })),
          );
        }
      }),
      { numRuns: 150 },
    );
  });

  test('a body is copied when it is posted: its owner may write over it in the same turn', () => {
    const client = new Client();
    const { outbox, endTurn } = makeOutbox(client);
    const body = Buffer.from('first');
    outbox.post('a', '', 1, 1, 0, '', body);
    body.write('other');
    outbox.post('a', '', 1, 1, 1, '', body);
    endTurn();
    const texts = client.received.get('a')?.map(({ payload }) => Buffer.from(payload, 'hex').toString());
    expect(texts).toEqual(['first', 'other']);
  });

  test('all frames of a turn to one subject share a message', () => {
    const client = new Client();
    const { outbox, endTurn } = makeOutbox(client);
    for (let i = 0; i < 100; i++) outbox.post(i % 2 === 0 ? 'a' : 'b', '', 1, 1, i, '{}');
    endTurn();
    expect(client.parcelBytes).toHaveLength(2);
  });

  test('no parcel of frames that fit exceeds half a megabyte', () => {
    const client = new Client();
    const { outbox, endTurn } = makeOutbox(client);
    for (let i = 0; i < 50; i++) outbox.post('a', '', 1, 1, i, '', Buffer.alloc(240 * 1024));
    endTurn();
    expect(Math.max(...client.parcelBytes)).toBeLessThanOrEqual(512 * 1024);
    expect(client.received.get('a')).toHaveLength(50);
  });

  test('what was not sent when the connection broke is forgotten, and what is posted after it is sent', () => {
    const client = new Client();
    const { outbox, endTurn } = makeOutbox(client);
    outbox.post('a', '', 1, 1, 0, 'lost');
    outbox.discard();
    outbox.post('a', '', 1, 1, 1, 'sent');
    endTurn();
    endTurn();
    expect(client.received.get('a')?.map(({ sequence }) => sequence)).toEqual([1]);
  });

  test('a frame that may wait leaves by itself', () => {
    const client = new Client();
    const { outbox, endTurn, pass } = makeOutbox(client);
    for (let i = 0; i < 3; i++) {
      outbox.postNumber('a', '', 1, 1, i, 7);
      endTurn();
    }
    pass(10);
    expect(client.received.get('a')?.map(({ sequence }) => sequence)).toEqual([0, 1, 2]);
  });

  test('thousands of subjects cost no more than their frames', () => {
    const client = new Client();
    const { outbox, endTurn } = makeOutbox(client);
    for (let turn = 0; turn < 5; turn++) {
      for (let i = 0; i < 1_000; i++) outbox.post(`s${turn * 500 + i}`, '', 1, 1, turn, 'x');
      endTurn();
    }
    expect(client.received.size).toBe(3_000);
    expect([...client.received.values()].flat()).toHaveLength(5_000);
  });
});

describe('a parcel', () => {
  test('a view stays as it is until something is appended after `clear`', () => {
    const writer = new ParcelWriter();
    writer.append(1, 2, 3, 'hello');
    const view = writer.view();
    writer.clear();
    expect(writer.isEmpty).toBe(true);
    expect(view.subarray(PARCEL_HEADER_BYTES + FRAME_HEADER_BYTES).toString()).toBe('hello');
    writer.append(1, 2, 3, 'other');
    expect(view.subarray(PARCEL_HEADER_BYTES + FRAME_HEADER_BYTES).toString()).toBe('other');
  });

  test('bytes that are none never crash a reader: it delivers what is whole, or says what is wrong', () => {
    const valid = fc.array(posted, { minLength: 1, maxLength: 4 }).map((frames) => {
      const writer = new ParcelWriter();
      for (const { type, stream, sequence, head } of frames) writer.append(type, stream, sequence, String(head));
      return Buffer.from(writer.view());
    });
    const cut = fc.tuple(valid, fc.nat()).map(([bytes, at]) => bytes.subarray(0, at % bytes.length));
    const flipped = fc.tuple(valid, fc.nat(), fc.nat({ max: 255 })).map(([bytes, at, byte]) => {
      bytes[at % bytes.length] = byte;
      return bytes;
    });
    fc.assert(
      fc.property(fc.oneof(fc.uint8Array({ maxLength: 100 }), cut, flipped), (bytes) => {
        let delivered = 0;
        try {
          readParcel(bytes, (_type, _stream, _sequence, payload) => (delivered += FRAME_HEADER_BYTES + payload.length));
          expect(delivered).toBe(bytes.length - PARCEL_HEADER_BYTES);
        } catch (failure) {
          expect(failure).toBeInstanceOf(PoisonedMessage);
          expect(delivered).toBeLessThanOrEqual(bytes.length);
        }
      }),
    );
  });

  test('a number is four bytes at least', () => {
    expect(readNumber(Buffer.from([0, 0, 1, 0, 9]))).toBe(256);
    expect(() => readNumber(Buffer.from([0, 0, 1]))).toThrow(PoisonedMessage);
  });

  test('a head ends at the first newline; the body may hold more of them', () => {
    const { head, body } = splitHead(Buffer.from('{"a":1}\nx\ny'));
    expect([head.toString(), body.toString()]).toEqual(['{"a":1}', 'x\ny']);
    expect(() => splitHead(Buffer.from('{"a":1}'))).toThrow(PoisonedMessage);
  });
});
