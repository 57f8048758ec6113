/** The request as bytes, made once; only the sequence number changes. */
import type { Load } from './options.ts';

const PLACEHOLDER = '{{seq}}';
const DIGITS = 10;

export class RequestBytes {
  readonly host: string;
  readonly port: number;
  /** Where the ten digits are; -1 when there are none. */
  readonly #seqAt: number;
  #bytes: Buffer;
  #seq = 0;

  /** Throws when the URL is not plain http. */
  constructor(load: Load) {
    const url = new URL(load.url);
    if (url.protocol !== 'http:') throw new Error('only http:// targets');
    this.host = url.hostname;
    this.port = Number(url.port || '80');
    const body = Buffer.from(load.body.replace(PLACEHOLDER, '0'.repeat(DIGITS)));
    const hasType = load.headers.some((line) => /^content-type:/i.test(line));
    const lines = [
      // The path as given: URL would encode the braces and bars of a script in it.
      `${load.method} ${load.url.slice(load.url.indexOf('/', 7)) || '/'} HTTP/1.1`,
      `Host: ${url.host}`,
      'User-Agent: loadgen',
      ...load.headers,
      ...(body.length > 0 && !hasType ? ['Content-Type: application/json'] : []),
      ...(body.length > 0 ? [`Content-Length: ${body.length}`] : []),
      ...(load.close ? ['Connection: close'] : []),
    ];
    const head = Buffer.from(`${lines.join('\r\n')}\r\n\r\n`);
    const place = load.body.indexOf(PLACEHOLDER);
    this.#seqAt = place < 0 ? -1 : head.length + Buffer.byteLength(load.body.slice(0, place));
    this.#bytes = Buffer.concat([head, body]);
  }

  /** The bytes of the next request. They are the same buffer each time: call `kept()` when a write has not taken them. */
  next(): Buffer {
    if (this.#seqAt >= 0) {
      let rest = ++this.#seq;
      for (let at = this.#seqAt + DIGITS - 1; at >= this.#seqAt; at--) {
        this.#bytes[at] = 48 + (rest % 10);
        rest = Math.floor(rest / 10);
      }
    }
    return this.#bytes;
  }

  /** The last bytes still belong to a socket: go on with a copy. */
  kept(): void {
    this.#bytes = Buffer.from(this.#bytes);
  }
}
