import type { Command } from 'commander';
import type { OperationId } from '../../shared/admin/operations.ts';
import { loadCommandConfig, positiveInteger, withConfigOptions, withJson } from './options.ts';
import type { ConfigFlags } from './options.ts';
import type { Given, Here } from './perform-here.ts';
import type { Column } from './table.ts';
import { print, printable, printJson, styled } from './terminal.ts';

/** A thing as the admin API tells it. */
export type Thing = Readonly<Record<string, unknown>>;

/** One option of `create` and `update`, and the field of the API that it fills. */
export interface FieldOption {
  readonly flags: string;
  readonly help: string;
  readonly field: string;
  /** Reads what was written; by default it is a text, and the word `none` takes away what is there. */
  readonly read?: (text: string, before: unknown) => unknown;
  /** What the field becomes by an option that takes nothing. */
  readonly means?: unknown;
  /** Said once, when it is made. */
  readonly isFixed?: boolean;
}

/** The commands of one sort of thing: list, show, create, update, delete. */
export interface EntityCommands {
  /** `teams` */
  readonly noun: string;
  /** `team`: the name of its parameter in the API's paths too. */
  readonly one: string;
  readonly description: string;
  readonly operations: Readonly<Record<'list' | 'show' | 'create' | 'update' | 'delete', OperationId>>;
  /** What `create` is given first. */
  readonly subject: { readonly field: string; readonly help: string };
  readonly fields: readonly FieldOption[];
  /** Of `list`: fields of its query. */
  readonly filters: readonly FieldOption[];
  readonly columns: ReadonlyArray<Column<Thing>>;
  readonly examples: {
    readonly id: string;
    /** What follows `create` and `update <id>`. */
    readonly create: readonly string[];
    readonly update: readonly string[];
  };
}

type Flags = ConfigFlags & Readonly<Record<string, unknown>> & { readonly json?: true };

const MAX_LISTED = 100_000;
const DEFAULT_LISTED = 1_000;
const PAGE = 200;
export const NONE = 'none';

/** Adds the commands, which do what the admin API does, on the database itself. Returns the noun's command, for more. */
export function addEntityCommands(program: Command, entity: EntityCommands): Command {
  const { noun, one, operations, subject, fields, filters, examples } = entity;
  const { id: exampleId } = examples;
  const group = program.command(noun).description(entity.description);
  const creating = examples.create.map((rest) => `create ${rest}`);
  const updating = examples.update.map((rest) => `update ${exampleId} ${rest}`);
  withExamples(
    group,
    [...creating, ...updating, 'list --json'].map((line) => `${noun} ${line}`),
  );
  const add = (name: string, description: string, lines: readonly string[]): Command =>
    withExamples(
      withConfigOptions(withJson(group.command(name)), 'dataDir').description(description),
      lines.map((line) => `${noun} ${line}`),
    );

  withFields(add('list', `every ${one}`, ['list', 'list --json']), filters)
    .option('-n, --limit <count>', 'at most so many', positiveInteger(MAX_LISTED), DEFAULT_LISTED)
    .action(async ({ json, limit, ...flags }: Flags & { readonly limit: number }) => {
      const query = fieldsOf(filters, flags);
      const things = await withHere(flags, (here) => listAll(here, operations.list, { query }, limit));
      await printThings(entity, things, json === true);
    });
  add('show', `one ${one}`, [`show ${exampleId}`])
    .argument(`<${one}>`, 'its id')
    .action(async (id: string, { json, ...flags }: Flags) =>
      printThing(await performOn(flags, operations.show, { params: { [one]: id } }), json === true),
    );
  withFields(add('create', `make a ${one}`, creating), fields)
    .argument(`<${subject.field}>`, subject.help)
    .action(async (named: string, { json, ...flags }: Flags) => {
      const body = { ...fieldsOf(fields, flags), [subject.field]: named };
      printThing(await performOn(flags, operations.create, { body }), json === true);
    });
  withFields(
    add('update', `change a ${one}; what is not named stays`, updating),
    fields.filter(({ isFixed }) => isFixed !== true),
  )
    .argument(`<${one}>`, 'its id')
    .action(async (id: string, { json, ...flags }: Flags) =>
      printThing(
        await performOn(flags, operations.update, { params: { [one]: id }, body: fieldsOf(fields, flags) }),
        json === true,
      ),
    );
  add('delete', `delete a ${one}`, [`delete ${exampleId}`])
    .argument(`<${one}>`, 'its id')
    .action(async (id: string, { json, ...flags }: Flags) => {
      const deleted = await performOn(flags, operations.delete, { params: { [one]: id } });
      if (json) return printJson(deleted);
      print(`Deleted the ${one} "${printable(id)}".`);
    });
  return group;
}

/** Runs `work` on the database that the flags name. */
export async function withHere<T>(flags: ConfigFlags, work: (here: Here) => Promise<T>): Promise<T> {
  const { performHere } = await import('./perform-here.ts');
  return performHere(await loadCommandConfig(flags), work);
}

/** The fields come from options, and are checked by the operation's schema; here they have no types. */
interface Untyped {
  readonly params?: object;
  readonly query?: object;
  readonly body?: object;
}

/** One operation; answers what it answers. */
export function performOn(flags: ConfigFlags, id: OperationId, given: Untyped): Promise<Thing> {
  return withHere(flags, (here) => here.perform(id, given as unknown as Given<OperationId>)) as Promise<Thing>;
}

/** Page after page, until there are so many. */
export async function listAll(
  here: Here,
  id: OperationId,
  { params, query }: Omit<Untyped, 'body'>,
  most: number,
): Promise<Thing[]> {
  const things: Thing[] = [];
  let after: string | undefined;
  do {
    const limit = Math.min(PAGE, most - things.length);
    const given = { params, query: { ...query, limit, ...(after !== undefined && { after }) } };
    const page = (await here.perform(id, given as unknown as Given<OperationId>)) as {
      data: Thing[];
      next_cursor?: string;
    };
    things.push(...page.data);
    after = page.next_cursor;
  } while (after !== undefined && things.length < most);
  return things;
}

/** Command lines without the program's name. */
export function withExamples(command: Command, lines: readonly string[]): Command {
  return command.addHelpText('after', `\nExamples:\n${lines.map((line) => `  $ sluice ${line}`).join('\n')}`);
}

function withFields(command: Command, fields: readonly FieldOption[]): Command {
  for (const { flags, help, read } of fields) {
    if (read === undefined) command.option(flags, help);
    else command.option(flags, help, read);
  }
  return command;
}

/** What was named, by the API's names; `none` is null. */
function fieldsOf(fields: readonly FieldOption[], flags: Flags): Record<string, unknown> {
  return Object.fromEntries(
    fields.flatMap(({ flags: written, field, means }) => {
      const value = flags[optionName(written)];
      if (value === undefined) return [];
      return [[field, means !== undefined ? means : value === NONE ? null : value]];
    }),
  );
}

/** `-a, --alert-at <percents>` → `alertAt`, as commander calls it. */
function optionName(flags: string): string {
  const long = /--([a-z-]+)/.exec(flags)?.[1] ?? '';
  return long.replace(/-([a-z])/g, (_, letter: string) => letter.toUpperCase());
}

export async function printThings(
  { noun, columns }: Pick<EntityCommands, 'noun' | 'columns'>,
  things: readonly Thing[],
  isJson: boolean,
): Promise<void> {
  if (isJson) return printJson(things);
  if (things.length === 0) return print(`There are no ${noun}.`);
  const { renderTable } = await import('./table.ts');
  print(renderTable(columns, things));
}

/** Each field on a line of its own, in words where there are some. */
export function printThing(thing: Thing, isJson: boolean): void {
  if (isJson) return printJson(thing);
  const shown = Object.entries(thing).filter(([name]) => name !== 'object');
  const width = Math.max(...shown.map(([name]) => name.length));
  for (const [name, value] of shown) print(`${styled('bold', name.padEnd(width))}  ${said(value)}`);
}

/** A value in one line: `-` for nothing, `a=1, b=2` for a record, commas between the parts of a list. */
export function said(value: unknown): string {
  if (value === null || value === undefined || value === '') return '-';
  if (Array.isArray(value)) return value.length === 0 ? '-' : value.map(said).join(', ');
  if (typeof value !== 'object') return printable(typeof value === 'string' ? value : JSON.stringify(value));
  const parts = Object.entries(value).map(([name, part]) => `${printable(name)}=${said(part)}`);
  return parts.length === 0 ? '-' : parts.join(', ');
}

/** A column that shows a field as it is. */
export function column(field: string, more: Partial<Column<Thing>> = {}): Column<Thing> {
  return { title: field.replaceAll('_', ' '), cell: (thing) => said(thing[field]), ...more };
}
