import type { Command } from 'commander';
import { addEntityCommands, column } from './entity-commands.ts';
import { TAGS } from './fields.ts';

export function addUsersCommands(program: Command): void {
  addEntityCommands(program, {
    noun: 'users',
    one: 'user',
    description: 'whom requests are for: list, show, create, update, delete',
    operations: {
      list: 'listUsers',
      show: 'getUser',
      create: 'createUser',
      update: 'updateUser',
      delete: 'deleteUser',
    },
    subject: { field: 'id', help: 'how requests, limits and budgets name it: ada of user:ada' },
    fields: [
      { flags: '--name <name>', help: 'what people call it', field: 'name' },
      { flags: '--team <id>', help: 'whom it belongs to, or none', field: 'team' },
      { flags: '--email <address>', help: 'or none', field: 'email' },
      { flags: '--subject <text>', help: 'the issuer and subject of its OIDC tokens, or none', field: 'subject' },
      TAGS,
    ],
    filters: [{ flags: '--team <id>', help: 'only those of this one', field: 'team' }],
    columns: [
      column('id', { minWidth: 12 }),
      column('name', { minWidth: 12, importance: 5 }),
      column('team', { minWidth: 8, importance: 4 }),
      column('email', { minWidth: 12, importance: 3 }),
      column('tags', { minWidth: 8, importance: 1 }),
      column('created_at', { title: 'created', importance: 2 }),
    ],
    examples: { id: 'ada', create: ['ada --team search --email ada@example.com'], update: ['--team none'] },
  });
}
