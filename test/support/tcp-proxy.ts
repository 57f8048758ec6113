import net from 'node:net';
import type { AddressInfo } from 'node:net';

/** Stands between a service and its server, to cut the service off alone. */
export interface TcpProxy {
  /** The URL that it was made for, with the proxy's own port in it. */
  readonly url: string;
  /** Resets every connection; new ones are let through at once. */
  cut(): void;
  /** Holds back everything, on new connections too, as a server that hangs does. */
  hang(): void;
  /** Lets it go on. */
  resume(): void;
  stop(): Promise<void>;
}

export async function startTcpProxy(targetUrl: string): Promise<TcpProxy> {
  const url = new URL(targetUrl);
  const target = { host: url.hostname, port: Number(url.port) };
  /** Each end, and where what it says goes. */
  const open = new Map<net.Socket, net.Socket>();
  let isHanging = false;
  const server = net.createServer((near) => {
    const far = net.connect(target);
    for (const [from, to] of [
      [near, far],
      [far, near],
    ] as const) {
      open.set(from, to);
      if (!isHanging) from.pipe(to);
      // Either end of a pair takes the other with it.
      from.on('error', () => undefined);
      from.on('close', () => {
        open.delete(from);
        to.destroy();
      });
    }
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  url.port = String((server.address() as AddressInfo).port);
  const cut = (): void => {
    for (const socket of open.keys()) socket.resetAndDestroy();
  };
  return {
    url: url.href,
    cut,
    hang: () => {
      isHanging = true;
      for (const [from, to] of open) from.unpipe(to);
    },
    resume: () => {
      isHanging = false;
      for (const [from, to] of open) from.pipe(to);
    },
    stop: async () => {
      const closed = new Promise((resolve) => server.close(resolve));
      cut();
      await closed;
    },
  };
}
