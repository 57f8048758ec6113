import { randomBytes, randomUUID } from 'node:crypto';
import { open, readFile, rename } from 'node:fs/promises';
import { isErrno } from './errno.ts';

/** The password kept in that file (mode 0600), made at first use. Hex: it needs no quoting anywhere. */
export async function readOrCreateSecret(path: string): Promise<string> {
  try {
    return (await readFile(path, 'utf8')).trim();
  } catch (cause) {
    if (!isErrno(cause, 'ENOENT')) throw cause;
  }
  const secret = randomBytes(24).toString('hex');
  const temporary = `${path}.${randomUUID()}`;
  const file = await open(temporary, 'wx', 0o600);
  try {
    await file.writeFile(`${secret}\n`);
    // What it opens is on disk for good soon; the key must not be lost to a power cut.
    await file.sync();
  } finally {
    await file.close();
  }
  await rename(temporary, path);
  return secret;
}
