import type { Command } from 'commander';
import { InvalidArgumentError } from 'commander';
import type { Thing } from './entity-commands.ts';
import { addEntityCommands, column, NONE } from './entity-commands.ts';
import { amount, wholeNumberOrNone } from './fields.ts';

export function addLimitsCommands(program: Command): void {
  addEntityCommands(program, {
    noun: 'limits',
    one: 'limit',
    description: 'how fast it may be used: list, show, create, update, delete',
    operations: {
      list: 'listLimits',
      show: 'getLimit',
      create: 'createLimit',
      update: 'updateLimit',
      delete: 'deleteLimit',
    },
    subject: { field: 'scope', help: 'total, team:search, key:<id>, route:chat, or user:* for each user apart' },
    fields: [
      {
        flags: '-r, --requests <count>',
        help: 'requests per minute, or none',
        field: 'requests_per_minute',
        read: wholeNumberOrNone,
      },
      {
        flags: '-t, --tokens <count>',
        help: 'tokens per minute, or none',
        field: 'tokens_per_minute',
        read: wholeNumberOrNone,
      },
      {
        flags: '--cost <amount/time>',
        help: 'what may be spent in a time: "5 USD/1h", or none',
        field: 'cost',
        read: readCost,
      },
      {
        flags: '--concurrent <count>',
        help: 'requests under way at once, or none',
        field: 'concurrent',
        read: wholeNumberOrNone,
      },
      {
        flags: '--burst <count>',
        help: 'requests at once after a silence, or none',
        field: 'burst',
        read: wholeNumberOrNone,
      },
    ],
    filters: [{ flags: '--scope <scope>', help: 'only those of this one', field: 'scope' }],
    columns: [
      column('scope', { minWidth: 12 }),
      column('requests_per_minute', { title: 'requests/min', align: 'right' }),
      column('tokens_per_minute', { title: 'tokens/min', align: 'right' }),
      { title: 'cost', cell: costOf, importance: 4 },
      column('concurrent', { align: 'right', importance: 3 }),
      column('burst', { align: 'right', importance: 1 }),
      column('id', { importance: 2 }),
    ],
    examples: {
      id: '<id>',
      create: ['"user:*" --tokens 100000 --concurrent 8', 'team:search --cost "5 USD/1h"'],
      update: ['--concurrent none'],
    },
  });
}

function readCost(text: string): unknown {
  if (text === NONE) return text;
  const [sum, per] = text.split('/');
  if (sum === undefined || per === undefined)
    throw new InvalidArgumentError('It must be an amount and a time, as "5 USD/1h".');
  return { amount: amount(sum), per: per.trim() };
}

function costOf({ cost }: Thing): string {
  if (typeof cost !== 'object' || cost === null) return '-';
  const { amount: sum, per } = cost as { readonly amount: string; readonly per: string };
  return `${sum}/${per}`;
}
