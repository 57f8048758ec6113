/**
 * The yardstick: the least that a gateway on fastify and undici can do, and nothing of what one is for. It parses the
 * request's JSON and writes it anew, reads the answer for its usage, and pipes streams as bytes.
 * `node test/bench/yardstick.ts <origin of the provider>`
 */
import Fastify from 'fastify';
import { Pool } from 'undici';

interface ChatBody {
  readonly model: string;
  readonly stream?: boolean;
}
interface ChatAnswer {
  readonly usage?: { readonly total_tokens?: number };
}

const PATH = '/v1/chat/completions';
const origin = process.argv[2] ?? 'http://127.0.0.1:9100';
const pool = new Pool(origin, {
  connections: 2_048,
  pipelining: 1,
  keepAliveTimeout: 60_000,
  headersTimeout: 0,
  bodyTimeout: 0,
});
const app = Fastify({ logger: false, keepAliveTimeout: 0, bodyLimit: 16 << 20 });
const headers = { 'content-type': 'application/json', authorization: 'Bearer sk-yardstick' };
let tokens = 0;

app.post<{ Body: ChatBody }>(PATH, async (request, reply) => {
  const body = JSON.stringify({ ...request.body, model: request.body.model });
  if (request.body.stream === true) {
    reply.hijack();
    const response = reply.raw;
    try {
      await pool.stream({ path: PATH, method: 'POST', headers, body }, ({ statusCode, headers: from }) => {
        response.writeHead(statusCode, { 'content-type': String(from['content-type']), 'cache-control': 'no-cache' });
        return response;
      });
    } catch {
      response.destroy(); // The load generator reports it.
    }
    return;
  }
  const { statusCode, body: answer } = await pool.request({ path: PATH, method: 'POST', headers, body });
  const text = await answer.text();
  if (statusCode === 200) tokens += (JSON.parse(text) as ChatAnswer).usage?.total_tokens ?? 0;
  await reply.code(statusCode).header('content-type', 'application/json').send(text);
});
app.get('/tokens', () => ({ tokens }));

console.log(`yardstick on ${await app.listen({ port: 0, host: '127.0.0.1', backlog: 4_096 })}`);
process.once('SIGTERM', () => process.exit(0));
