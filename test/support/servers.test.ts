import { connect } from 'node:net';
import { expect, test } from 'vitest';
import { withConnection } from '../../infra/servers/postgres-database.ts';
import { freshDatabase, freshNats, redisUrl } from './fresh.ts';

test('each caller has a database of its own', async () => {
  const [one, two] = await Promise.all([freshDatabase(), freshDatabase()]);
  await withConnection(one.url, (client) => client.query('create table here (value int)'));
  const tables = "select 1 from pg_tables where tablename = 'here'";
  expect((await withConnection(one.url, (client) => client.query(tables))).rowCount).toBe(1);
  expect((await withConnection(two.url, (client) => client.query(tables))).rowCount).toBe(0);
  await Promise.all([one.drop(), two.drop()]);
});

test('a nats-server killed and restarted is back on its port', async () => {
  const nats = await freshNats();
  try {
    expect(await firstBytes(nats.port)).toMatch(/^INFO /);
    await nats.kill();
    await expect(firstBytes(nats.port)).rejects.toThrow('ECONNREFUSED');
    await nats.restart();
    expect(await firstBytes(nats.port)).toMatch(/^INFO /);
  } finally {
    await nats.stop();
  }
});

test('each caller has a Redis database of its own', async () => {
  const [one, two] = [new URL(await redisUrl()), new URL(await redisUrl())];
  expect(one.host).toBe(two.host);
  expect(one.pathname).not.toBe(two.pathname);
  expect(await firstBytes(Number(one.port), `SELECT ${two.pathname.slice(1)}\r\n`)).toBe('+OK\r\n');
});

function firstBytes(port: number, say = ''): Promise<string> {
  return new Promise((resolve, reject) => {
    const socket = connect({ port, host: '127.0.0.1' }, () => socket.write(say));
    socket.once('error', reject);
    socket.once('data', (bytes) => {
      socket.destroy();
      resolve(bytes.toString());
    });
  });
}
