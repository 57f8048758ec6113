import type { Command } from 'commander';
import { InvalidArgumentError } from 'commander';
import type { AccountedAttempt } from '../../services/ledger/usage/list-attempts.ts';
import { formatDollars, formatUsd, parseUsd } from '../../shared/money.ts';
import type { Price } from '../../shared/pricing.ts';
import { MAX_RATE } from '../../shared/pricing.ts';
import { actorHere } from './actor-here.ts';
import { loadCommandConfig, withConfigOptions, withJson } from './options.ts';
import { print, printJson } from './terminal.ts';
import type { FilterFlags } from './usage-filter.ts';
import { filterOf, withFilterOptions } from './usage-filter.ts';

interface Flags extends FilterFlags {
  readonly price?: Price;
  readonly reason: string;
  readonly json?: true;
}

/** Name in the option → part of the price. */
const RATES = {
  input: 'input',
  output: 'output',
  cached_input: 'cachedInput',
  reasoning_output: 'reasoningOutput',
} as const satisfies Record<string, keyof Price>;

export function addReRateCommand(usage: Command): void {
  const command = usage.command('re-rate').description('charge attempts anew, by a price that is known now');
  withFilterOptions(withConfigOptions(withJson(command), 'dataDir'))
    .option('--price <rates>', 'USD per million tokens; default: the price that is configured now, or listed', price)
    .option('--reason <text>', 'kept with each correction', 're-rated')
    .addHelpText(
      'after',
      `
Attempts are never changed: what differs from what they have cost so far becomes a correction of each, and is in every
report, and in the budgets of its time. Done again it changes nothing.

Examples:
  $ sluice usage re-rate --since 7d --model my-model                              by the price of the configuration
  $ sluice usage re-rate --since 2026-11-01 --where deployment=vllm/llama --price input=0.10,output=0.40`,
    )
    .action(reRateCommand);
  const since = command.options.find(({ long }) => long === '--since');
  since?.makeOptionMandatory();
}

async function reRateCommand(flags: Flags): Promise<void> {
  const { Catalog } = await import('../../shared/catalog.ts');
  const { loadPriceTable } = await import('../../shared/pricing.ts');
  const { inAuditedRevision } = await import('../../services/ledger/admin/audited-revision.ts');
  const { reRate } = await import('../../services/ledger/usage/corrections.ts');
  const { withLedger } = await import('./open-ledger.ts');
  const config = await loadCommandConfig(flags);
  const catalog = new Catalog(config, loadPriceTable());
  const priceOf = ({ deployment }: AccountedAttempt): Price | undefined =>
    flags.price ?? catalog.deployment(deployment)?.price;
  await withLedger(config, {}, async ({ db }) => {
    const [filter, { reason }] = [filterOf(flags), flags];
    const doer = { actor: actorHere(), now: new Date() };
    const by = doer.actor.keyId;
    const { amountNanoUsd, ...done } = await reRate(db, { filter, priceOf, reason, by });
    if (done.corrected > 0) {
      // Done in many transactions, of which this tells afterwards; each correction says for itself who made it, and why.
      const after = { filter, reason, ...done, amount_nano_usd: String(amountNanoUsd) };
      const deed = { action: 'reRate', entity: 'usage', entityId: 'corrections', before: null, after };
      await inAuditedRevision(db, doer, () => Promise.resolve({ value: undefined, deed }));
    }
    if (flags.json === true)
      return printJson({ ...done, amountUsd: formatDollars(amountNanoUsd), amountNanoUsd: String(amountNanoUsd) });
    const unpriced = done.unpriced === 0 ? '' : ` Of ${done.unpriced} no price is known.`;
    print(
      `${done.corrected} of ${done.attempts} attempts corrected, by ${formatUsd(amountNanoUsd)} in all.${unpriced}`,
    );
  });
}

/** `input=0.10,output=0.40` → nano-dollars per million tokens. */
function price(text: string): Price {
  const rates = new Map(
    text.split(',').map((part) => {
      const [name = '', amount = ''] = part.split('=').map((word) => word.trim());
      const known = Object.entries(RATES).find(([word]) => word === name)?.[1];
      if (known === undefined)
        throw new InvalidArgumentError(`"${name}" is not one of ${Object.keys(RATES).join(', ')}.`);
      return [known, rate(amount)];
    }),
  );
  const [input, output] = [rates.get('input'), rates.get('output')];
  if (input === undefined || output === undefined)
    throw new InvalidArgumentError('It must name both: input=0.10,output=0.40.');
  return { ...Object.fromEntries(rates), input, output };
}

function rate(amount: string): number {
  const nano = readAmount(amount);
  if (nano > BigInt(MAX_RATE)) throw new InvalidArgumentError('A rate is at most 10000 USD per million tokens.');
  return Number(nano);
}

function readAmount(amount: string): bigint {
  try {
    return parseUsd(`${amount} USD`);
  } catch {
    throw new InvalidArgumentError(`"${amount}" is not a number of USD, such as 0.15.`);
  }
}
