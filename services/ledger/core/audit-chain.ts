import { hash } from 'node:crypto';

/** What was changed, by whom: all that an audit record says of it. `before` and `after` are JSON, without secrets. */
export interface AuditEntry {
  readonly at: Date;
  readonly actor: string;
  readonly actorRole: string;
  /** The address that the request came from. */
  readonly origin: string;
  readonly action: string;
  readonly entity: string;
  readonly entityId: string;
  readonly before: Readonly<Record<string, unknown>> | null;
  readonly after: Readonly<Record<string, unknown>> | null;
  readonly requestId: string | null;
}

/** An entry in its place of the chain. */
export interface ChainedEntry extends AuditEntry {
  readonly sequence: bigint;
  readonly previousHash: string;
}

/** Before the first record. */
export const GENESIS_HASH = '0'.repeat(64);

/**
 * SHA-256 (hex) of the record's canonical JSON (RFC 8785), the hash of the one before in it: none can be changed, taken
 * out or put in between without all that follow being other ones.
 */
export function hashOfEntry({ sequence, at, previousHash, ...entry }: ChainedEntry): string {
  const told = {
    sequence: String(sequence),
    at: at.toISOString(),
    actor: entry.actor,
    actor_role: entry.actorRole,
    origin: entry.origin,
    action: entry.action,
    entity: entry.entity,
    entity_id: entry.entityId,
    before: entry.before,
    after: entry.after,
    request_id: entry.requestId,
    previous_hash: previousHash,
  };
  return hash('sha256', canonicalJson(told), 'hex');
}

/** Names in the order of their UTF-16 units, no spaces; numbers and texts as JavaScript writes them. */
export function canonicalJson(value: unknown): string {
  if (Array.isArray(value)) return `[${value.map(canonicalJson).join(',')}]`;
  if (typeof value !== 'object' || value === null) return JSON.stringify(value);
  const entries = Object.entries(value).filter(([, part]) => part !== undefined);
  // Not by locale: the order must be the same everywhere.
  entries.sort(([one], [other]) => (one < other ? -1 : 1));
  return `{${entries.map(([name, part]) => `${JSON.stringify(name)}:${canonicalJson(part)}`).join(',')}}`;
}

/** What is wrong with a record that follows `previous` (undefined: it is the first); undefined: nothing. */
export function faultOf(
  record: ChainedEntry & { readonly hash: string },
  previous: { readonly sequence: bigint; readonly hash: string } | undefined,
): string | undefined {
  const expected = (previous?.sequence ?? 0n) + 1n;
  if (record.sequence !== expected) return `record ${expected} is missing`;
  if (record.previousHash !== (previous?.hash ?? GENESIS_HASH))
    return `record ${record.sequence} does not follow the one before it`;
  if (record.hash !== hashOfEntry(record)) return `record ${record.sequence} was changed`;
  return undefined;
}
