import { InvalidFields } from './invalid-fields.ts';

/** A page of large things ends here, so that it fits a message of NATS (1 MiB at least) with all that goes around it. */
const MAX_PAGE_BYTES = 512 * 1024;

export interface List<Item> {
  readonly object: 'list';
  readonly data: Item[];
  readonly has_more: boolean;
  readonly next_cursor?: string;
}

/**
 * A page, as OpenAI's lists.
 * @param rows one more than `limit`, if there are so many
 * @param keyOf what the page after this one begins behind
 */
export function pageOf<Row, Item extends object>(
  rows: readonly Row[],
  limit: number,
  show: (row: Row) => Item,
  keyOf: (row: Row) => string,
): List<Item> {
  const data: Item[] = [];
  let bytes = 0;
  for (const row of rows.slice(0, limit)) {
    const item = show(row);
    bytes += Buffer.byteLength(JSON.stringify(item));
    if (data.length > 0 && bytes > MAX_PAGE_BYTES) break;
    data.push(item);
  }
  const last = rows[data.length - 1];
  const hasMore = data.length < rows.length;
  return {
    object: 'list',
    data,
    has_more: hasMore,
    ...(hasMore && last !== undefined && { next_cursor: cursorOf(keyOf(last)) }),
  };
}

export function cursorOf(key: string): string {
  return Buffer.from(key).toString('base64url');
}

/** What `next_cursor` stands for. @throws InvalidFields it is none of ours */
export function readCursor(cursor: string | undefined): string | undefined {
  if (cursor === undefined) return undefined;
  const key = Buffer.from(cursor, 'base64url').toString();
  if (cursor !== '' && cursorOf(key) === cursor && !key.includes('\0')) return key;
  throw new InvalidFields([{ param: 'after', message: 'It is not the `next_cursor` of a list.' }]);
}
