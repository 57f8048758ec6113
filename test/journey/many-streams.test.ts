import { afterAll, beforeAll, expect, test } from 'vitest';
import { requestIdOf, startJourney } from '../support/journey.ts';
import type { Journey } from '../support/journey.ts';
import { startHandmadeProvider } from '../support/handmade-provider.ts';
import type { HandmadeProvider } from '../support/handmade-provider.ts';
import { readStream, textOf } from '../support/sse.ts';

const STREAMS = 200;
const TOKENS = 30;

let handmade: HandmadeProvider;
let journey: Journey;

beforeAll(async () => {
  handmade = await startHandmadeProvider();
  journey = await startJourney({
    providers: { echo: { script: '', base_url: `${handmade.url}/v1`, concurrency: STREAMS } },
  });
});

afterAll(async () => {
  await journey.stop();
  await handmade.stop();
});

test('two hundred streams at once are each their own, whole, and in the ledger', async () => {
  handmade.answer = ({ body }, response) => {
    const name = (JSON.parse(body.toString()) as { messages: { content: string }[] }).messages[0]?.content ?? '';
    const event = (delta: object, finish: string | null): string =>
      `data: ${JSON.stringify({ id: `chatcmpl-${name}`, object: 'chat.completion.chunk', created: 1, model: 'm', choices: [{ index: 0, delta, finish_reason: finish }] })}\n\n`;
    response.writeHead(200, { 'content-type': 'text/event-stream' });
    let sent = 0;
    // One token a turn, so that the streams take turns.
    const next = (): void => {
      if (sent < TOKENS) {
        response.write(event({ content: `${name}:${sent++} ` }, null));
        setImmediate(next);
      } else {
        response.end(
          `${event({}, 'stop')}data: {"id":"chatcmpl-${name}","object":"chat.completion.chunk","created":1,"model":"m","choices":[],"usage":{"prompt_tokens":1,"completion_tokens":${TOKENS},"total_tokens":${TOKENS + 1}}}\n\ndata: [DONE]\n\n`,
        );
      }
    };
    next();
  };
  const streams = await Promise.all(
    Array.from({ length: STREAMS }, async (_, at) => {
      const response = await journey.chat('echo/m', {
        stream: true,
        messages: [{ role: 'user', content: `stream-${at}` }],
      });
      return { at, requestId: requestIdOf(response), read: await readStream(response) };
    }),
  );
  const expected = (at: number): string =>
    Array.from({ length: TOKENS }, (_, token) => `stream-${at}:${token} `).join('');
  expect(
    streams.filter(
      ({ at, read }) =>
        textOf(read.chunks) !== expected(at) ||
        !read.isDone ||
        read.chunks.some(({ id }) => id !== `chatcmpl-stream-${at}`),
    ),
  ).toEqual([]);

  const rows = await journey.gateway.rows(STREAMS);
  expect(new Set(rows.map(({ request_id }) => request_id))).toEqual(new Set(streams.map(({ requestId }) => requestId)));
  expect(
    rows.filter(
      ({ error, output_tokens, finish }) => error !== null || Number(output_tokens) !== TOKENS || finish !== 'stop',
    ),
  ).toEqual([]);
});
