/** `"3"`: an entity tag is a version in quotes. */
export function etagOf(version: bigint): string {
  return `"${version}"`;
}

/**
 * Whether a change may go on: no `If-Match`, or one that names the state that there is. A weak tag names none (RFC 9110,
 * 13.1.1).
 */
export function matches(ifMatch: string | undefined, version: bigint): boolean {
  return ifMatch === undefined || tagsOf(ifMatch).some((tag) => tag === '*' || tag === etagOf(version));
}

/** Whether who asks has this state already. Here a weak tag does (13.1.2). */
export function isKnown(ifNoneMatch: string | undefined, version: bigint): boolean {
  if (ifNoneMatch === undefined) return false;
  return tagsOf(ifNoneMatch).some((tag) => tag === '*' || tag.replace(/^W\//, '') === etagOf(version));
}

function tagsOf(header: string): string[] {
  return header.split(',').map((tag) => tag.trim());
}
