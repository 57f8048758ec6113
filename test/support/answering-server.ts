import { createServer } from 'node:http';
import type { ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';

/** An HTTP server on loopback of which a test gets each response to write. */
export interface AnsweringServer {
  readonly url: string;
  /** Set by the test before it sends a request. */
  onRequest: (response: ServerResponse) => void;
  stop(): void;
}

export async function startAnsweringServer(): Promise<AnsweringServer> {
  const server = createServer((_request, response) => answering.onRequest(response));
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const answering: AnsweringServer = {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    onRequest: () => undefined,
    stop: () => {
      server.closeAllConnections();
      server.close();
    },
  };
  return answering;
}
