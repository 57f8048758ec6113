import { connect } from 'node:net';
import { z } from 'zod';
import { LOOPBACK } from './port.ts';
import { ServerStartError } from './process.ts';

const Info = z.looseObject({ version: z.string(), jetstream: z.boolean().optional() });
const ApiAnswer = z.looseObject({ error: z.looseObject({ description: z.string().optional() }).optional() });

/** A local server answers in a millisecond; JetStream with a large store to recover may be longer silent. */
const ANSWER_TIMEOUT_MS = 2_000;
const INBOX = '_INBOX.sluice.ready';

/**
 * Logs in and asks JetStream for its account information, in the plain text protocol (only shared/bus.ts may use the
 * client). Resolves with the server's version; rejects while any of it does not work yet, and with a
 * `ServerStartError` when it never will.
 */
export function natsReady(server: { port: number; user: string; password: string }): Promise<string> {
  return new Promise((resolve, reject) => {
    const socket = connect({ port: server.port, host: LOOPBACK });
    let received = '';
    let version = '';
    const fail = (error: Error): void => {
      socket.destroy();
      reject(error);
    };
    socket.setTimeout(ANSWER_TIMEOUT_MS, () => fail(new Error('no answer from JetStream')));
    socket.once('error', fail);
    socket.once('close', () => fail(new Error('the connection was closed')));
    socket.setEncoding('utf8');
    socket.on('data', (text: string) => {
      received += text;
      try {
        if (version === '') {
          const line = /^INFO (.*)\r\n/.exec(received)?.[1];
          if (line === undefined) return;
          const info = Info.parse(JSON.parse(line));
          if (info.jetstream !== true) throw new ServerStartError('nats-server runs without JetStream');
          version = info.version;
          socket.write(login(server) + `SUB ${INBOX} 1\r\nPUB $JS.API.INFO ${INBOX} 0\r\n\r\n`);
        }
        if (received.includes('-ERR')) throw new Error(received.slice(received.indexOf('-ERR')).trim());
        const answer = /\r\nMSG \S+ 1 \d+\r\n(.*)\r\n/.exec(received)?.[1];
        if (answer === undefined) return;
        const { error } = ApiAnswer.parse(JSON.parse(answer));
        if (error !== undefined) throw new Error(`JetStream: ${error.description ?? 'not ready'}`);
      } catch (cause) {
        fail(cause instanceof Error ? cause : new Error(String(cause)));
        return;
      }
      socket.destroy();
      resolve(version);
    });
  });
}

function login({ user, password }: { user: string; password: string }): string {
  const options = { verbose: false, pedantic: false, user, pass: password, lang: 'node', version: '0', protocol: 1 };
  return `CONNECT ${JSON.stringify(options)}\r\n`;
}
