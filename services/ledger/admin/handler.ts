import type { Transaction } from 'kysely';
import type { z } from 'zod';
import type { Operation } from '../../../shared/admin/operation.ts';
import type { Operations } from '../../../shared/admin/operations.ts';
import type { AdminActor } from '../../../shared/messages/admin.ts';
import type { Role } from '../../../shared/messages/key.ts';
import type { Reach } from '../core/reach.ts';
import type { KeySecret } from '../principals/key-secret.ts';
import type { Change } from '../rules/revision.ts';
import type { Database, Tables } from '../database/schema.ts';

/** A checked request, and who asks. */
export interface Call<O extends Operation = Operation> {
  readonly params: z.output<O['params']>;
  readonly query: z.output<O['query']>;
  readonly body: O['body'] extends z.ZodType ? z.output<O['body']> : undefined;
  readonly actor: AdminActor;
  readonly role: Role;
  readonly reach: Reach;
  readonly now: Date;
  /** For the hashes of new tokens. */
  readonly openSecret: () => Promise<KeySecret>;
  /** Of a change. @throws GatewayError(`precondition_failed`) when the client has seen another version than this */
  readonly expects: (version: bigint) => void;
}

/** What an operation answers: its JSON, or a part of a text. */
export type Answered<Body = unknown> =
  | { readonly body: Body; readonly version?: bigint | undefined }
  | { readonly text: string; readonly contentType: string; readonly next?: string | undefined };

/** What a change did, as the audit record tells it; states are those of the API, without secrets. */
export interface Changed<Body = unknown> {
  readonly body: Body;
  readonly version?: bigint | undefined;
  readonly entity: string;
  readonly entityId: string;
  readonly before: object | null;
  readonly after: object | null;
  /** What ingresses have to forget; absent: everything. */
  readonly about?: Change;
}

export type Reading<O extends Operation> = (db: Database, call: Call<O>) => Promise<Answered<z.input<O['response']>>>;

/** Runs within one transaction with its audit record: whatever it throws, nothing has happened. */
export type Changing<O extends Operation> = (
  transaction: Transaction<Tables>,
  call: Call<O>,
) => Promise<Changed<z.input<O['response']>>>;

export type Handler<O extends Operation> = O['isChange'] extends true ? Changing<O> : Reading<O>;

/** A handler for each operation: a table that lacks one does not compile. */
export type Handlers<Part extends Readonly<Record<string, Operation>> = Operations> = {
  readonly [Id in keyof Part]: Handler<Part[Id]>;
};
