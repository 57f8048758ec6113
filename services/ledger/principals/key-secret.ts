import { createHmac, createSecretKey, randomBytes, timingSafeEqual } from 'node:crypto';
import type { KeyObject } from 'node:crypto';
import { link, mkdir, readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Database } from '../database/schema.ts';

export const MIN_SECRET_CHARS = 16;
const SECRET_BYTES = 32;
const FILE_NAME = 'secret';
/** Whoever may read it can try tokens offline against a copy of the database. */
const OWNER_ONLY = 0o600;

/** Where the secret is: the configuration's (`auth.secret`), else the file `secret` in the data folder. */
export interface SecretSource {
  readonly configured: string | undefined;
  /** Absolute. */
  readonly dataDir: string;
}

/**
 * The secret under which the database keeps the hashes of tokens: a copy of the database alone does not tell whether a
 * guessed token is one. Printed or logged, it shows nothing.
 */
export class KeySecret {
  readonly #key: KeyObject;

  /** @throws Error for less than `MIN_SECRET_CHARS` characters */
  constructor(text: string) {
    if (text.length < MIN_SECRET_CHARS)
      throw new Error(`The secret (auth.secret, SLUICE_SECRET) needs ${MIN_SECRET_CHARS} characters or more.`);
    this.#key = createSecretKey(Buffer.from(text, 'utf8'));
  }

  /** What is stored for a token: HMAC-SHA256 of its SHA-256, both in lower-case hex. */
  hash(sha256: string): string {
    return this.#digest(sha256);
  }

  /** Tells two secrets apart, and nothing about either. */
  get fingerprint(): string {
    return this.#digest('sluice: the fingerprint of this secret');
  }

  #digest(text: string): string {
    return createHmac('sha256', this.#key).update(text).digest('hex');
  }
}

/**
 * The secret of this database, made and written down when neither has one yet. The database remembers its fingerprint: with
 * another secret no key would be found, and new ones would be lost to everybody else.
 * @throws Error that says what to set, when the secret is not here or is another one
 */
export async function openKeySecret(db: Database, { configured, dataDir }: SecretSource): Promise<KeySecret> {
  const file = join(dataDir, FILE_NAME);
  let text = configured ?? (await readSecret(file));
  if (text === undefined && (await fingerprintOf(db)) !== undefined) {
    // Somebody who started at the same time may have made it between the two looks.
    text = await readSecret(file);
    if (text === undefined) throw secretIsElsewhere(file);
  }
  const secret = new KeySecret(text ?? (await makeSecret(dataDir, file)));
  await claim(db, secret, configured === undefined ? file : 'SLUICE_SECRET (or auth.secret)');
  return secret;
}

function secretIsElsewhere(file: string): Error {
  return new Error(
    `The keys of this database are kept under a secret that is not here: there is no ${file}.\n` +
      `Set SLUICE_SECRET (or auth.secret) to that secret, or copy the file \`${FILE_NAME}\` from the data folder of the first ledger.`,
  );
}

/** Whoever comes first decides; all others must have the same. */
async function claim(db: Database, secret: KeySecret, source: string): Promise<void> {
  const { fingerprint } = secret;
  const known = await fingerprintOf(db);
  if (known === undefined) {
    await db
      .insertInto('key_secret')
      .values({ fingerprint })
      .onConflict((conflict) => conflict.doNothing())
      .execute();
  }
  const kept = known ?? (await fingerprintOf(db)) ?? '';
  if (kept.length === fingerprint.length && timingSafeEqual(Buffer.from(kept), Buffer.from(fingerprint))) return;
  throw new Error(
    `The keys of this database are kept under another secret than that of ${source}.\n` +
      'Every ledger and every `sluice keys` command on it needs the same one: set SLUICE_SECRET (or auth.secret) everywhere alike.',
  );
}

async function fingerprintOf(db: Database): Promise<string | undefined> {
  const row = await db.selectFrom('key_secret').select('fingerprint').executeTakeFirst();
  return row?.fingerprint;
}

async function readSecret(file: string): Promise<string | undefined> {
  try {
    return (await readFile(file, 'utf8')).trim();
  } catch (failure) {
    if (isErrno(failure, 'ENOENT')) return undefined;
    throw new Error(`The secret cannot be read from ${file}.`, { cause: failure });
  }
}

/** Of several that start at once on one folder, all end up with the same secret: a link to a whole file is made once. */
async function makeSecret(dataDir: string, file: string): Promise<string> {
  const whole = `${file}.${randomBytes(8).toString('hex')}`;
  try {
    await mkdir(dataDir, { recursive: true });
    await writeFile(whole, `${randomBytes(SECRET_BYTES).toString('base64url')}\n`, { mode: OWNER_ONLY, flag: 'wx' });
    await link(whole, file);
  } catch (failure) {
    if (!isErrno(failure, 'EEXIST'))
      throw new Error(`The secret cannot be written to ${file}: set SLUICE_SECRET (or auth.secret) instead.`, {
        cause: failure,
      });
  } finally {
    await rm(whole, { force: true });
  }
  return (await readFile(file, 'utf8')).trim();
}

function isErrno(failure: unknown, code: string): boolean {
  return failure instanceof Error && 'code' in failure && failure.code === code;
}
