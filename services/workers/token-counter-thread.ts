import { parentPort } from 'node:worker_threads';
import { promptTexts } from './core/prompt-texts.ts';
import { loadTokenizer } from './simulated/tokens.ts';
import type { CountQuestion, Counted } from './token-counter.ts';

/** Counts for `TokenCounter`, off the event loop that streams run on: the tokenizer alone takes 0.2 s to load. */
parentPort?.on('message', (question: CountQuestion) => {
  void count(question).then((counted) => parentPort?.postMessage(counted));
});

async function count({ id, prompt, said, saidBytes }: CountQuestion): Promise<Counted> {
  const tokenizer = await loadTokenizer();
  // A space belongs to the word behind it, which never came.
  const text = Buffer.from(said).toString('utf8').trimEnd();
  const tokens = tokenizer.count([text]);
  const output = said.length === 0 ? 0 : Math.ceil((tokens * saidBytes) / said.length);
  const read = prompt === undefined ? undefined : promptTexts(Buffer.from(prompt).toString('utf8'));
  const input = read === undefined ? undefined : tokenizer.count(read.texts) + read.markTokens;
  return { id, input, output };
}
