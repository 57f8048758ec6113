import { parseOverrides } from '../../../shared/config/overrides.ts';
import type { OverrideName, PolicyOverrides } from '../../../shared/config/types.ts';
import { OVERRIDE_NAMES } from '../../../shared/config/types.ts';
import { GatewayError } from '../../../shared/errors.ts';
import type { Lane, Principal } from '../../../shared/messages/envelope.ts';

export type RequestHeaders = Readonly<Record<string, string | string[] | undefined>>;

/** What a request says of its own routing, checked, and allowed to its key. */
export interface RequestOverrides {
  /** undefined: nothing. */
  readonly overrides: PolicyOverrides | undefined;
  /** By the body alone: the header is older than the others, and read where the deadline is made. */
  readonly timeoutMs: number | undefined;
  readonly lane: Lane;
}

/** The header of each override; `x-sluice-timeout` is not among them. */
const HEADERS = OVERRIDE_NAMES.filter((name) => name !== 'timeout').map((name) => ({ name, header: headerOf(name) }));
const NOTHING: RequestOverrides = { overrides: undefined, timeoutMs: undefined, lane: 'interactive' };

/**
 * The body's `sluice` object and the `x-sluice-*` headers; a header wins over the body's field of the same name.
 * @throws GatewayError(`invalid_request`, `override_not_allowed`) that names the field or header
 */
export function readOverrides(
  sluice: unknown,
  headers: RequestHeaders,
  principal: Pick<Principal, 'overrides'>,
): RequestOverrides {
  const said = saidInHeaders(headers);
  if (said === undefined && (sluice === undefined || sluice === null)) return NOTHING;
  const body = sluice === undefined || sluice === null ? undefined : parseOverrides(sluice);
  const header = said === undefined ? undefined : parseHeaders(said);
  const lane = header?.lane ?? body?.lane ?? 'interactive';
  for (const name of header?.named ?? []) refuseUnlessAllowed(principal, name, lane, headerOf(name));
  for (const name of body?.named ?? []) refuseUnlessAllowed(principal, name, lane, `sluice.${name}`);
  return { overrides: merge(body?.overrides, header?.overrides), timeoutMs: body?.timeoutMs, lane };
}

/** A request may always take less: a deadline, and the lane that waits for the others. */
function refuseUnlessAllowed(
  { overrides: allowed }: Pick<Principal, 'overrides'>,
  name: OverrideName,
  lane: Lane,
  param: string,
): void {
  if (allowed === undefined || allowed.includes(name)) return;
  if (name === 'timeout' || (name === 'lane' && lane === 'batch')) return;
  throw new GatewayError('override_not_allowed', `This key may not say \`${name}\` of its requests’ routing.`, {
    param,
  });
}

function saidInHeaders(headers: RequestHeaders): Partial<Record<OverrideName, string>> | undefined {
  let said: Partial<Record<OverrideName, string>> | undefined;
  for (const { name, header } of HEADERS) {
    const text = headers[header];
    if (typeof text !== 'string') continue;
    said ??= {};
    said[name] = text;
  }
  return said;
}

/** A fault is told in the words of the header that it stands in. */
function parseHeaders(said: Partial<Record<OverrideName, string>>): ReturnType<typeof parseOverrides> {
  try {
    return parseOverrides(said);
  } catch (failure) {
    if (!(failure instanceof GatewayError) || failure.param === undefined) throw failure;
    const name = OVERRIDE_NAMES.find((known) => RegExp(`^sluice\\.${known}\\b`).test(failure.param ?? ''));
    if (name === undefined) throw failure;
    const message = failure.message.replaceAll(`sluice.${name}`, headerOf(name));
    throw new GatewayError(failure.code, message, { param: headerOf(name), cause: failure });
  }
}

/** The later one wins, where it says anything. */
function merge(...all: ReadonlyArray<PolicyOverrides | undefined>): PolicyOverrides | undefined {
  const said = all.flatMap((overrides = {}) => Object.entries(overrides)).filter(([, value]) => value !== undefined);
  return said.length === 0 ? undefined : Object.fromEntries(said);
}

function headerOf(name: OverrideName): string {
  return `x-sluice-${name.replaceAll('_', '-')}`;
}
