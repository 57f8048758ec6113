import { createHash } from 'node:crypto';
import type { ServerResponse } from 'node:http';
import { connect } from 'node:net';
import type { Socket } from 'node:net';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { startHandmadeProvider } from '../support/handmade-provider.ts';
import type { HandmadeProvider } from '../support/handmade-provider.ts';
import { TEST_KEY } from '../support/gateway.ts';
import { startJourney } from '../support/journey.ts';
import type { Journey } from '../support/journey.ts';

const MIB = 1024 * 1024;
const STREAM_BYTES = 64 * MIB;
/** Most of the stream must still be with the provider; what is not is in the kernel's socket buffers, of up to 6 MB each. */
const ON_THE_WAY_BYTES = 28 * MIB;
/** The gateway's own part of it is 256 KiB of credit. The rest is garbage that nobody has collected yet. */
const GROWTH_BYTES = 48 * MIB;

let handmade: HandmadeProvider;
let journey: Journey;

beforeAll(async () => {
  handmade = await startHandmadeProvider();
  journey = await startJourney({ providers: { firehose: { script: '', base_url: `${handmade.url}/v1` }, quick: '' } });
});

afterAll(async () => {
  await journey.stop();
  await handmade.stop();
});

/** Sends numbered events as fast as the socket takes them, and knows how much that was. */
class Firehose {
  readonly hash = createHash('sha256');
  sentBytes = 0;
  isBlocked = false;

  start(response: ServerResponse): void {
    response.writeHead(200, { 'content-type': 'text/event-stream' });
    const pump = (): void => {
      this.isBlocked = false;
      while (this.sentBytes < STREAM_BYTES) {
        if (
          this.#send(
            response,
            `data: {"id":"1","model":"firehose/m","choices":[{"index":0,"delta":{"content":"${this.sentBytes}${'x'.repeat(1_000)}"}}]}\n\n`,
          )
        )
          continue;
        this.isBlocked = true;
        return void response.once('drain', pump);
      }
      this.#send(
        response,
        'data: {"id":"1","model":"firehose/m","choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}\n\ndata: [DONE]\n\n',
      );
      response.end();
    };
    pump();
  }

  #send(response: ServerResponse, text: string): boolean {
    this.hash.update(text);
    this.sentBytes += text.length;
    return response.write(text);
  }
}

test(
  'a slow reader costs bounded memory and nobody else’s time, and gets every byte',
  { timeout: 40_000 },
  async () => {
    const firehose = new Firehose();
    handmade.answer = (_request, response) => firehose.start(response);
    globalThis.gc?.();
    const before = process.memoryUsage();
    const socket = await ask();
    // Blocked and no longer sending: everybody on the way has stopped reading.
    await untilStill(() => (firehose.isBlocked ? firehose.sentBytes : -1));
    const sentBytes = firehose.sentBytes;
    expect(sentBytes).toBeLessThan(ON_THE_WAY_BYTES);

    const answers = await Promise.all(
      Array.from({ length: 50 }, (_, at) => journey.chat('quick/m', { stream: at % 2 === 0 })),
    );
    expect(answers.map(({ status }) => status)).toEqual(Array<number>(50).fill(200));
    await Promise.all(answers.map((answer) => answer.text()));
    expect(firehose.sentBytes).toBe(sentBytes);

    const after = process.memoryUsage();
    expect(after.arrayBuffers - before.arrayBuffers).toBeLessThan(GROWTH_BYTES);
    expect(after.heapUsed - before.heapUsed).toBeLessThan(GROWTH_BYTES);

    const { bytes, hash } = await readBody(socket);
    expect(bytes).toBe(firehose.sentBytes);
    expect(hash).toBe(firehose.hash.digest('hex'));
  },
);

/** A raw socket, so that nothing reads ahead: it takes in what the kernel holds, and no more. */
async function ask(): Promise<Socket> {
  const body = JSON.stringify({ model: 'firehose/m', stream: true, messages: [{ role: 'user', content: 'much' }] });
  const { hostname, port } = new URL(journey.gateway.url);
  const socket = connect(Number(port), hostname);
  socket.pause();
  await new Promise<void>((resolve, reject) => socket.once('connect', resolve).once('error', reject));
  socket.write(
    `POST /v1/chat/completions HTTP/1.1\r\nhost: sluice\r\nauthorization: Bearer ${TEST_KEY}\r\ncontent-type: application/json\r\ncontent-length: ${body.length}\r\nconnection: close\r\n\r\n${body}`,
  );
  return socket;
}

/** Resolves when the number has stood still for ten looks in a row. */
async function untilStill(look: () => number): Promise<void> {
  let last = -1;
  for (let same = 0; same < 10;) {
    await new Promise((resolve) => setTimeout(resolve, 20));
    const now = look();
    same = now >= 0 && now === last ? same + 1 : 0;
    last = now;
  }
}

/** Takes the chunked coding off as the bytes come. */
async function readBody(socket: Socket): Promise<{ bytes: number; hash: string }> {
  const hash = createHash('sha256');
  let rest = Buffer.alloc(0);
  let bytes = 0;
  let left = -1;
  let hasHead = false;
  for await (const part of socket) {
    rest = Buffer.concat([rest, part as Buffer]);
    if (!hasHead) {
      const end = rest.indexOf('\r\n\r\n');
      if (end < 0) continue;
      hasHead = true;
      rest = rest.subarray(end + 4);
    }
    for (;;) {
      if (left < 0) {
        const end = rest.indexOf('\r\n');
        if (end < 0) break;
        left = Number.parseInt(rest.toString('latin1', 0, end), 16);
        rest = rest.subarray(end + 2);
      }
      if (rest.length < left + 2) break;
      hash.update(rest.subarray(0, left));
      bytes += left;
      rest = rest.subarray(left + 2);
      left = -1;
    }
  }
  return { bytes, hash: hash.digest('hex') };
}
