/**
 * HTTP/1.1 by hand, for what no client library would send: bytes go out as they are given, answers are read one after
 * the other from the same socket.
 */
import net from 'node:net';

export interface RawAnswer {
  readonly status: number;
  /** Lower-case names; the values of a repeated header are joined by `, `. */
  readonly headers: Readonly<Record<string, string>>;
  readonly body: string;
}

export interface ReadOptions {
  /** The answer to a HEAD: a content-length, but no body. */
  readonly isHead?: boolean;
  readonly timeoutMs?: number;
}

const END_OF_HEAD = Buffer.from('\r\n\r\n');

export class RawConnection {
  readonly socket: net.Socket;
  /** Resolves once the other side has ended or cut the connection. */
  readonly closed: Promise<void>;
  #received = Buffer.alloc(0);
  #isClosed = false;
  #wake: (() => void) | undefined;

  static async open(url: string): Promise<RawConnection> {
    const { hostname, port } = new URL(url);
    const socket = net.connect({ host: hostname, port: Number(port), noDelay: true });
    await new Promise<void>((resolve, reject) => {
      socket.once('connect', resolve);
      socket.once('error', reject);
    });
    return new RawConnection(socket);
  }

  private constructor(socket: net.Socket) {
    this.socket = socket;
    socket.on('data', (chunk: Buffer) => {
      this.#received = Buffer.concat([this.#received, chunk]);
      this.#wake?.();
    });
    // A reset is one of the ways in which a connection ends; `closed` tells.
    socket.on('error', () => undefined);
    this.closed = new Promise((resolve) => {
      const end = (): void => {
        this.#isClosed = true;
        this.#wake?.();
        resolve();
      };
      socket.on('end', end);
      socket.on('close', end);
    });
  }

  /** Resolves when the system has taken the bytes, or the connection is gone. */
  async write(bytes: string | Uint8Array): Promise<void> {
    const data = typeof bytes === 'string' ? Buffer.from(bytes) : bytes;
    // The callback comes in either case; what went wrong is for the reader to find.
    await new Promise<void>((resolve) => this.socket.write(data, () => resolve()));
  }

  /** The next answer. @throws Error when the connection ends in it, or after `timeoutMs` (default 5 s) */
  async read({ isHead = false, timeoutMs = 5_000 }: ReadOptions = {}): Promise<RawAnswer> {
    const givesUpAt = performance.now() + timeoutMs;
    const { status, headers } = parseHead(await this.#takeHead(givesUpAt));
    if (status < 200 || status === 204 || status === 304 || isHead) return { status, headers, body: '' };
    if (headers['transfer-encoding'] === 'chunked') return { status, headers, body: await this.#takeChunks(givesUpAt) };
    const length = headers['content-length'];
    if (length === undefined) return { status, headers, body: await this.#takeRest(givesUpAt) };
    return { status, headers, body: (await this.#take(Number(length), givesUpAt)).toString() };
  }

  /** Everything that came and was not read, once it satisfies `predicate`. */
  async until(predicate: (received: string) => boolean, timeoutMs = 5_000): Promise<string> {
    const givesUpAt = performance.now() + timeoutMs;
    while (!predicate(this.#received.toString())) await this.#more(givesUpAt);
    return this.#received.toString();
  }

  destroy(): void {
    this.socket.destroy();
  }

  async #takeHead(givesUpAt: number): Promise<string> {
    for (;;) {
      const end = this.#received.indexOf(END_OF_HEAD);
      if (end >= 0) return (await this.#take(end + END_OF_HEAD.length, givesUpAt)).toString('latin1');
      await this.#more(givesUpAt);
    }
  }

  async #takeChunks(givesUpAt: number): Promise<string> {
    const parts: Buffer[] = [];
    for (;;) {
      while (!this.#received.includes('\r\n')) await this.#more(givesUpAt);
      const line = await this.#take(this.#received.indexOf('\r\n') + 2, givesUpAt);
      const size = Number.parseInt(line.toString('latin1'), 16);
      const chunk = await this.#take(size + 2, givesUpAt);
      if (size === 0) return Buffer.concat(parts).toString();
      parts.push(chunk.subarray(0, size));
    }
  }

  async #takeRest(givesUpAt: number): Promise<string> {
    while (!this.#isClosed) await this.#more(givesUpAt);
    return (await this.#take(this.#received.length, givesUpAt)).toString();
  }

  async #take(bytes: number, givesUpAt: number): Promise<Buffer> {
    while (this.#received.length < bytes) await this.#more(givesUpAt);
    const taken = this.#received.subarray(0, bytes);
    this.#received = this.#received.subarray(bytes);
    return taken;
  }

  async #more(givesUpAt: number): Promise<void> {
    const leftMs = givesUpAt - performance.now();
    if (this.#isClosed || leftMs <= 0) {
      const why = this.#isClosed ? 'the connection ended' : 'nothing more came';
      throw new Error(`${why} after: ${JSON.stringify(this.#received.toString().slice(0, 500))}`);
    }
    await new Promise<void>((resolve) => {
      const timer = setTimeout(resolve, leftMs);
      this.#wake = () => {
        clearTimeout(timer);
        resolve();
      };
    });
  }
}

/** One request on a connection of its own. */
export async function rawRequest(url: string, bytes: string | Uint8Array, options?: ReadOptions): Promise<RawAnswer> {
  const connection = await RawConnection.open(url);
  try {
    void connection.write(bytes);
    return await connection.read(options);
  } finally {
    connection.destroy();
  }
}

/** A request's bytes, with `host`, and with `content-length` when there is a body and no header says how it comes. */
export function requestBytes(
  line: string,
  headers: Readonly<Record<string, string>> = {},
  body: string | Uint8Array = '',
): Buffer {
  const content = typeof body === 'string' ? Buffer.from(body) : body;
  const names = Object.keys(headers).map((name) => name.toLowerCase());
  const saysLength = names.includes('content-length') || names.includes('transfer-encoding');
  const all = {
    host: 'gateway',
    ...headers,
    ...(content.length === 0 || saysLength ? {} : { 'content-length': String(content.length) }),
  };
  const lines = Object.entries(all).map(([name, value]) => `${name}: ${value}\r\n`);
  return Buffer.concat([Buffer.from(`${line} HTTP/1.1\r\n${lines.join('')}\r\n`, 'latin1'), content]);
}

/** One piece of a chunked body. */
export function chunkOf(bytes: Uint8Array): Buffer {
  return Buffer.concat([Buffer.from(`${bytes.length.toString(16)}\r\n`), bytes, Buffer.from('\r\n')]);
}

function parseHead(head: string): { status: number; headers: Record<string, string> } {
  const [statusLine = '', ...lines] = head.trimEnd().split('\r\n');
  const headers: Record<string, string> = {};
  for (const line of lines) {
    const colon = line.indexOf(':');
    const name = line.slice(0, colon).toLowerCase();
    const value = line.slice(colon + 1).trim();
    headers[name] = headers[name] === undefined ? value : `${headers[name]}, ${value}`;
  }
  return { status: Number(statusLine.split(' ')[1]), headers };
}
