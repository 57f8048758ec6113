import { createServer } from 'node:http';
import type { IncomingHttpHeaders, ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';

/** The least that is a whole plain answer. */
export const PLAIN_ANSWER =
  '{"id":"1","object":"chat.completion","created":1,"model":"m","choices":[{"index":0,"message":{"role":"assistant","content":"hi"},"finish_reason":"stop"}]}';

export interface HandmadeRequest {
  readonly path: string;
  readonly headers: IncomingHttpHeaders;
  readonly body: Buffer;
}

/** A provider whose every byte the test writes itself, for what no script of the scripted one says. */
export interface HandmadeProvider {
  /** Without a path. */
  readonly url: string;
  readonly requests: readonly HandmadeRequest[];
  /** How the next requests are answered. */
  answer: (request: HandmadeRequest, response: ServerResponse) => void;
  stop(): Promise<void>;
}

export async function startHandmadeProvider(): Promise<HandmadeProvider> {
  const requests: HandmadeRequest[] = [];
  const server = createServer((incoming, response) => {
    const parts: Buffer[] = [];
    incoming.on('data', (part: Buffer) => parts.push(part));
    incoming.on('end', () => {
      const request = { path: incoming.url ?? '', headers: incoming.headers, body: Buffer.concat(parts) };
      requests.push(request);
      made.answer(request, response);
    });
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const made: HandmadeProvider = {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    requests,
    answer: (_request, response) => void response.writeHead(500).end(),
    stop: () =>
      new Promise<void>((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
  return made;
}

/** A whole JSON answer. */
export function answerJson(json: string | Buffer, headers: Record<string, string> = {}) {
  return (_request: HandmadeRequest, response: ServerResponse): void => {
    response.writeHead(200, { 'content-type': 'application/json', ...headers });
    response.end(json);
  };
}

/** A whole stream; each piece is a write of its own. */
export function answerSse(...pieces: readonly (string | Buffer)[]) {
  return (_request: HandmadeRequest, response: ServerResponse): void => {
    response.writeHead(200, { 'content-type': 'text/event-stream' });
    for (const piece of pieces) response.write(piece);
    response.end();
  };
}
