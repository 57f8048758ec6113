import { readFile, writeFile } from 'node:fs/promises';

const BEGIN = '<!-- measured: begin -->';
const END = '<!-- measured: end -->';

/** Puts what a run measured into a page of the docs, in the place of what an earlier run did. */
export async function writeMeasured(path: string, text: string): Promise<void> {
  const page = await readFile(path, 'utf8');
  const [before, rest] = page.split(BEGIN);
  const after = rest?.split(END)[1];
  if (after === undefined) throw new Error(`${path} has no block between ${BEGIN} and ${END}`);
  await writeFile(path, `${before}${BEGIN}\n\n${text}\n${END}${after}`);
}
