import { mkdtemp, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { inspect } from 'node:util';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { KeySecret, openKeySecret } from './key-secret.ts';
import type { Database } from '../database/schema.ts';
import { freshLedgerDatabase } from '../testing/fresh-database.ts';

const SECRET = 'the secret of this test';
const HASH = 'a'.repeat(64);
let close: () => Promise<void>;
let db: Database;
let dataDir: string;

beforeEach(async () => {
  ({ db, close } = await freshLedgerDatabase());
  dataDir = await mkdtemp(join(tmpdir(), 'sluice-secret-'));
});

afterEach(async () => {
  await close();
  await rm(dataDir, { recursive: true, force: true });
});

test('is made at the first start, for its owner’s eyes, and found again', async () => {
  const folder = join(dataDir, 'new');
  const made = await openKeySecret(db, { configured: undefined, dataDir: folder });
  const file = join(folder, 'secret');
  expect((await stat(file)).mode & 0o777).toBe(0o600);
  const again = await openKeySecret(db, { configured: undefined, dataDir: folder });
  expect(again.hash(HASH)).toBe(made.hash(HASH));
  const text = (await readFile(file, 'utf8')).trim();
  expect((await openKeySecret(db, { configured: text, dataDir: '/nowhere' })).hash(HASH)).toBe(made.hash(HASH));
});

test('is one, also when several start at once on one folder', async () => {
  const opened = await Promise.all(
    Array.from({ length: 8 }, () => openKeySecret(db, { configured: undefined, dataDir })),
  );
  expect(new Set(opened.map((secret) => secret.fingerprint)).size).toBe(1);
  expect(await readdir(dataDir)).toEqual(['secret']);
});

test('that the configuration names is not written anywhere', async () => {
  await openKeySecret(db, { configured: SECRET, dataDir });
  expect(await readdir(dataDir)).toEqual([]);
  const rows = await db.selectFrom('key_secret').selectAll().execute();
  expect(JSON.stringify(rows)).not.toContain(SECRET);
});

test('that is another than the database’s is refused, and says what to set', async () => {
  await openKeySecret(db, { configured: SECRET, dataDir });
  await expect(openKeySecret(db, { configured: `${SECRET}!`, dataDir })).rejects.toThrow(
    /under another secret than that of SLUICE_SECRET .*\n.*set SLUICE_SECRET/,
  );
  await writeFile(join(dataDir, 'secret'), 'an altogether other secret\n');
  await expect(openKeySecret(db, { configured: undefined, dataDir })).rejects.toThrow(join(dataDir, 'secret'));
});

test('that is not here is not made anew where keys are kept under it', async () => {
  await openKeySecret(db, { configured: SECRET, dataDir });
  await expect(openKeySecret(db, { configured: undefined, dataDir })).rejects.toThrow('Set SLUICE_SECRET');
  expect(await readdir(dataDir)).toEqual([]);
});

test('that cannot be looked for is not made anew', async () => {
  await writeFile(join(dataDir, 'file'), '');
  const beneath = { configured: undefined, dataDir: join(dataDir, 'file') };
  await expect(openKeySecret(db, beneath)).rejects.toThrow('The secret cannot be read from');
});

test('has sixteen characters at least, and shows none of them', () => {
  expect(() => new KeySecret('x'.repeat(15))).toThrow('16 characters');
  const secret = new KeySecret(SECRET);
  expect(inspect(secret, { depth: 5, showHidden: true }) + JSON.stringify(secret)).not.toContain(SECRET);
  expect(secret.hash(HASH)).toMatch(/^[0-9a-f]{64}$/);
  expect(secret.hash(HASH)).not.toBe(new KeySecret(`${SECRET}!`).hash(HASH));
});
