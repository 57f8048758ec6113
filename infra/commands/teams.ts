import type { Command } from 'commander';
import { addEntityCommands, column } from './entity-commands.ts';
import { TAGS } from './fields.ts';

export function addTeamsCommands(program: Command): void {
  addEntityCommands(program, {
    noun: 'teams',
    one: 'team',
    description: 'whom keys and users belong to: list, show, create, update, delete',
    operations: {
      list: 'listTeams',
      show: 'getTeam',
      create: 'createTeam',
      update: 'updateTeam',
      delete: 'deleteTeam',
    },
    subject: { field: 'id', help: 'how keys, limits and budgets name it: search of team:search' },
    fields: [
      { flags: '--name <name>', help: 'what people call it', field: 'name' },
      { flags: '-o, --organisation <id>', help: 'what it belongs to, or none', field: 'organisation' },
      TAGS,
    ],
    filters: [{ flags: '-o, --organisation <id>', help: 'only those of this one', field: 'organisation' }],
    columns: [
      column('id', { minWidth: 12 }),
      column('name', { minWidth: 12, importance: 4 }),
      column('organisation', { minWidth: 12, importance: 3 }),
      column('tags', { minWidth: 8, importance: 1 }),
      column('created_at', { title: 'created', importance: 2 }),
    ],
    examples: {
      id: 'search',
      create: ['search --name Search --organisation acme'],
      update: ['--organisation none'],
    },
  });
}
