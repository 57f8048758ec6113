/** Looks into a running Node process through its inspector, which is opened when first needed: until then it costs nothing. */
import type { Child } from './child.ts';
import type { CpuProfile } from './profile.ts';

export interface HeapUsage {
  readonly usedSize: number;
  readonly totalSize: number;
  /** Buffers outside of the heap. */
  readonly backingStorageSize?: number;
}

/** What a first collection only finds to be garbage (finalizers, weak references) goes with the second. */
const COLLECTIONS = 2;
const SAMPLE_EVERY_US = 500;

export class Inspector {
  readonly #socket: WebSocket;
  readonly #waiting = new Map<number, (answer: { result?: unknown; error?: { message: string } }) => void>();
  #last = 0;

  private constructor(socket: WebSocket) {
    this.#socket = socket;
    socket.addEventListener('message', ({ data }) => {
      const answer = JSON.parse(String(data)) as { id?: number; result?: unknown; error?: { message: string } };
      if (answer.id === undefined) return;
      this.#waiting.get(answer.id)?.(answer);
      this.#waiting.delete(answer.id);
    });
  }

  /** Asks the process to open its inspector (SIGUSR1). It must have been started with `--inspect-port=127.0.0.1:0`. */
  static async open(child: Child): Promise<Inspector> {
    process.kill(child.pid, 'SIGUSR1');
    const [, url = ''] = await child.line(/Debugger listening on (ws:\S+)/);
    const socket = new WebSocket(url);
    await new Promise((resolve, reject) => {
      socket.addEventListener('open', resolve, { once: true });
      socket.addEventListener('error', () => reject(new Error(`no inspector on ${url}`)), { once: true });
    });
    return new Inspector(socket);
  }

  /**
   * What the process holds: everything else has been collected. V8 drops compiled code with it, so nothing that is timed
   * may follow.
   */
  async held(): Promise<HeapUsage> {
    for (let n = 0; n < COLLECTIONS; n++) await this.#call('HeapProfiler.collectGarbage');
    return (await this.#call('Runtime.getHeapUsage')) as HeapUsage;
  }

  async startProfile(): Promise<void> {
    await this.#call('Profiler.enable');
    await this.#call('Profiler.setSamplingInterval', { interval: SAMPLE_EVERY_US });
    await this.#call('Profiler.start');
  }

  async stopProfile(): Promise<CpuProfile> {
    const { profile } = (await this.#call('Profiler.stop')) as { profile: CpuProfile };
    await this.#call('Profiler.disable');
    return profile;
  }

  close(): void {
    this.#socket.close();
  }

  #call(method: string, params: object = {}): Promise<unknown> {
    const id = ++this.#last;
    return new Promise((resolve, reject) => {
      this.#waiting.set(id, ({ result, error }) => {
        if (error === undefined) resolve(result);
        else reject(new Error(`${method}: ${error.message}`));
      });
      this.#socket.send(JSON.stringify({ id, method, params }));
    });
  }
}
