import type { IncomingMessage } from 'node:http';
import { Refusal } from './refusal.ts';

/** As the gateway's own largest: whatever it lets in must not fail here. */
const MAX_BODY_BYTES = 64 * 1024 * 1024;

/** @throws Refusal; also when the client went away, and then nobody reads it */
export async function readJson(request: IncomingMessage): Promise<unknown> {
  const body = await readBody(request);
  try {
    return JSON.parse(body.toString('utf8'));
  } catch {
    // V8's message quotes the text, which is a prompt.
    throw new Refusal(400, 'We could not parse the JSON body of your request.');
  }
}

function readBody(request: IncomingMessage): Promise<Buffer> {
  if (Number(request.headers['content-length'] ?? 0) > MAX_BODY_BYTES) return Promise.reject(tooLarge(request));
  return new Promise((resolve, reject) => {
    const chunks: Buffer[] = [];
    let bytes = 0;
    request.on('data', (chunk: Buffer) => {
      bytes += chunk.length;
      if (bytes <= MAX_BODY_BYTES) return void chunks.push(chunk);
      chunks.length = 0;
      request.removeAllListeners('data');
      reject(tooLarge(request));
    });
    request.on('end', () => resolve(Buffer.concat(chunks)));
    request.on('error', reject);
    request.on('close', () => reject(new Refusal(400, 'The client went away.')));
  });
}

/** The rest is read and thrown away, so that the client comes to read the answer instead of failing to write. */
function tooLarge(request: IncomingMessage): Refusal {
  request.resume();
  const megabytes = MAX_BODY_BYTES / 1024 / 1024;
  return new Refusal(413, `The body of the request is larger than ${megabytes} MiB.`, { code: 'request_too_large' });
}
