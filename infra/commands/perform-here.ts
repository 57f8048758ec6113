import type { z } from 'zod';
import type { OperationId, Operations } from '../../shared/admin/operations.ts';
import type { Config } from '../../shared/config.ts';
import { GatewayError } from '../../shared/errors.ts';
import type { Performed } from '../../services/ledger/admin/perform.ts';
import { actorHere } from './actor-here.ts';
import { announceChange } from './announce-change.ts';
import { CommandError } from './failure.ts';
import { withLedger } from './open-ledger.ts';

/** What an operation is given: as over HTTP, already taken apart. */
export interface Given<Id extends OperationId> {
  readonly params?: z.input<Operations[Id]['params']>;
  readonly query?: z.input<Operations[Id]['query']>;
  readonly body?: Operations[Id]['body'] extends z.ZodType ? z.input<Operations[Id]['body']> : undefined;
}

/** Operations of the admin API on a ledger's database, each as whoever runs this command: checked and audited alike. */
export interface Here {
  /** @throws GatewayError nothing has happened */
  perform<Id extends OperationId>(id: Id, given: Given<Id>): Promise<z.output<Operations[Id]['response']>>;
}

/** Opens the ledger as `withLedger` does; what changes there is announced to the gateway that runs on it, if one does. */
export function performHere<T>(config: Config, work: (here: Here) => Promise<T>): Promise<T> {
  return withLedger(config, { mayCreate: true }, async ({ db, openSecret, gateway }) => {
    const { perform } = await import('../../services/ledger/admin/perform.ts');
    const announced: Array<NonNullable<Performed['announced']>> = [];
    const here: Here = {
      perform: async (id, { params = {}, query = {}, body }) => {
        const raw = { params, query, body } as Parameters<typeof perform>[1];
        const performed = await perform(id, raw, { db, openSecret, actor: actorHere(), now: new Date() }).catch(
          explain,
        );
        if (performed.announced !== undefined) announced.push(performed.announced);
        // As its schema has it: the handler's type says so.
        return performed.body as z.output<Operations[typeof id]['response']>;
      },
    };
    try {
      return await work(here);
    } finally {
      // What was done is done, also when what came after it failed; untold ingresses see it by the beats.
      for (const change of announced) await announceChange(config.nats.url ?? gateway?.natsUrl, change);
    }
  });
}

/** Every field at fault on a line of its own. */
async function explain(failure: unknown): Promise<never> {
  const { fieldErrorsOf } = await import('../../services/ledger/admin/invalid-fields.ts');
  if (!(failure instanceof GatewayError)) throw failure;
  const errors = fieldErrorsOf(failure) ?? [];
  if (errors.length < 2) throw failure;
  throw new CommandError(errors.map(({ param, message }) => `${param}: ${message}`).join('\n        '));
}
