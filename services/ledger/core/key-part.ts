/**
 * A value as a part of a key made of several, which is cheaper than an id. What Postgres has taken holds no NUL, so the
 * values cannot run into one another, nor be taken for a null.
 */
export function keyPart(value: string | null | undefined): string {
  return value == null ? '\0' : `\u0001${value}\0`;
}
