/** One provider hangs: what do those notice who ask another? */
import type { Hanging } from './gateway.ts';
import { runLoad } from './loadgen.ts';
import { measure } from './measure.ts';
import type { MeasureOptions, Measurement } from './measure.ts';
import { HANG_WINDOWS, chatBody } from './scenarios.ts';
import type { HangScenario, HangWindow } from './scenarios.ts';
import type { Side } from './sides.ts';

/** What the clients of the provider that hangs saw in one round. */
export interface Hung {
  readonly round: number;
  readonly sent: number;
  /** Attempts that came to the provider. */
  readonly reached: number;
  readonly breakerOpened: number | undefined;
  /** Answers by their status. */
  readonly status: Readonly<Record<string, number>>;
  /** Clients that had no answer well after their deadline. */
  readonly unanswered: number;
}

export interface HangRound {
  readonly measurements: readonly Measurement[];
  readonly hung: Hung;
}

type Profiled = (window: HangWindow, work: () => Promise<Measurement>) => Promise<Measurement>;

/** Of each request to the provider that hangs: one attempt may time out, a second one may not. */
const DEADLINE = '3s';
const GIVES_UP_AFTER_MS = 8_000;

/**
 * The windows of a round. In the second one, what went to the healthy provider besides goes to one that hangs, and that
 * nobody has asked before: its pool is empty, its breaker closed. The last one shows how far two windows differ by themselves.
 */
export async function measureHang(
  scenario: HangScenario,
  options: MeasureOptions,
  profiled: Profiled,
): Promise<HangRound> {
  const measurements: Measurement[] = [];
  let hung: Hung | undefined;
  for (const name of HANG_WINDOWS) {
    const hanging = name === 'hang-during' ? askHanging(scenario, options) : askHealthy(scenario, options);
    const measured = profiled(name, () => measure({ name, ...scenario }, options));
    const [window, found] = await Promise.all([measured, hanging]);
    measurements.push(window);
    if (found !== undefined) hung = found;
  }
  if (hung === undefined) throw new Error('no provider hung');
  return { measurements, hung };
}

/** The same traffic while nobody hangs: the windows differ in nothing else. */
async function askHealthy({ hanging, bodyBytes }: HangScenario, { side }: MeasureOptions): Promise<undefined> {
  const { url, key, model } = side;
  const headers = [`authorization: Bearer ${key}`, 'content-type: application/json'];
  await runLoad({ ...hanging, url, headers, body: chatBody(model, bodyBytes, false), timeoutMs: GIVES_UP_AFTER_MS });
}

async function askHanging({ hanging, bodyBytes }: HangScenario, options: MeasureOptions): Promise<Hung> {
  const { side, provider, round } = options;
  const hangs = hangingOf(side, round);
  const before = await provider.counts(hangs.providerKey);
  const { sent, status, errors } = await runLoad({
    ...hanging,
    url: side.url,
    headers: [`authorization: Bearer ${side.key}`, 'content-type: application/json', `x-sluice-timeout: ${DEADLINE}`],
    body: chatBody(hangs.model, bodyBytes, false),
    timeoutMs: GIVES_UP_AFTER_MS,
  });
  const after = await provider.counts(hangs.providerKey);
  const unanswered = Object.entries(errors).reduce(
    (sum, [kind, times]) => (kind.startsWith('http_') ? sum : sum + times),
    0,
  );
  const reached = after.requests - before.requests;
  return { round, sent, reached, breakerOpened: await hangs.breakerOpened(), status, unanswered };
}

function hangingOf({ name, gateway }: Side, round: number): Hanging {
  if (gateway === undefined) throw new Error(`${name} has no provider that hangs`);
  return gateway.hanging(round);
}
