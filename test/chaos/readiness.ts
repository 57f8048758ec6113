import { setTimeout as sleep } from 'node:timers/promises';

const ASK_EVERY_MS = 250;
/** As a load balancer asks: no answer within this is one, too. */
const ANSWER_WITHIN_MS = 1_000;

/** Asks ingresses for `/health/ready`, as a load balancer does, until `stop()`: it answers the share of 200s. @param urls read each time */
export function watchReadiness(urls: () => readonly string[]): { stop(): Promise<number> } {
  let isStopping = false;
  const answers: boolean[] = [];
  const watch = async (): Promise<void> => {
    while (!isStopping) {
      answers.push(...(await Promise.all(urls().map(isReady))));
      await sleep(ASK_EVERY_MS);
    }
  };
  const watching = watch();
  return {
    stop: async () => {
      isStopping = true;
      await watching;
      return answers.filter(Boolean).length / Math.max(1, answers.length);
    },
  };
}

async function isReady(url: string): Promise<boolean> {
  const asked = fetch(`${url}/health/ready`, { signal: AbortSignal.timeout(ANSWER_WITHIN_MS) });
  return asked.then(
    async (response) => {
      await response.arrayBuffer();
      return response.ok;
    },
    () => false,
  );
}
