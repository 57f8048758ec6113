import type { Command } from 'commander';
import { addEntityCommands, column } from './entity-commands.ts';
import { TAGS } from './fields.ts';

export function addOrganisationsCommands(program: Command): void {
  addEntityCommands(program, {
    noun: 'organisations',
    one: 'organisation',
    description: 'what teams belong to: list, show, create, update, delete',
    operations: {
      list: 'listOrganisations',
      show: 'getOrganisation',
      create: 'createOrganisation',
      update: 'updateOrganisation',
      delete: 'deleteOrganisation',
    },
    subject: { field: 'id', help: 'how keys, limits and budgets name it: acme of organisation:acme' },
    fields: [{ flags: '--name <name>', help: 'what people call it', field: 'name' }, TAGS],
    filters: [],
    columns: [
      column('id', { minWidth: 12 }),
      column('name', { minWidth: 12, importance: 3 }),
      column('tags', { minWidth: 8, importance: 1 }),
      column('created_at', { title: 'created', importance: 2 }),
    ],
    examples: { id: 'acme', create: ['acme --name "Acme Ltd."'], update: ['--tags region=eu'] },
  });
}
