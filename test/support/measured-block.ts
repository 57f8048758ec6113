import { readFile, writeFile } from 'node:fs/promises';

/**
 * Puts what a run measured into a page of the docs, in the place of what an earlier run did.
 * @param name which block, on a page that has several
 */
export async function writeMeasured(path: string, text: string, name = ''): Promise<void> {
  const [begin, end] = ['begin', 'end'].map((word) => `<!-- measured${name === '' ? '' : ` ${name}`}: ${word} -->`);
  const page = await readFile(path, 'utf8');
  const [before, rest] = page.split(begin as string);
  const after = rest?.split(end as string)[1];
  if (after === undefined) throw new Error(`${path} has no block between ${begin} and ${end}`);
  await writeFile(path, `${before}${begin}\n\n${text}\n${end}${after}`);
}
