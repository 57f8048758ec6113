/** A server of a test's own, as `infra/servers` starts them. */
export interface OwnServer {
  readonly url: string;
  readonly port: number;
  readonly pid: number;
  readonly version: string;
  readonly exited: Promise<string>;
  stop(): Promise<void>;
}

/** A server that is struck down and comes back: on the same port, with what it keeps on disk. */
export class Restartable {
  readonly #start: (port?: number) => Promise<OwnServer>;
  #server: OwnServer;

  /** @param start with the port to come back on, undefined the first time */
  static async start(start: (port?: number) => Promise<OwnServer>): Promise<Restartable> {
    return new Restartable(start, await start());
  }

  private constructor(start: (port?: number) => Promise<OwnServer>, server: OwnServer) {
    this.#start = start;
    this.#server = server;
  }

  get url(): string {
    return this.#server.url;
  }

  get version(): string {
    return this.#server.version;
  }

  /** SIGKILL; resolves when it is gone. */
  async kill9(): Promise<void> {
    process.kill(this.#server.pid, 'SIGKILL');
    await this.#server.exited;
    await this.#server.stop();
  }

  /** Ends it as it wishes to be ended. */
  stop(): Promise<void> {
    return this.#server.stop();
  }

  /** Only when it is down. */
  async startAgain(): Promise<void> {
    this.#server = await this.#start(this.#server.port);
  }
}
