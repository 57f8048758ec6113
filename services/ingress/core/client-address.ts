import type { Networks } from '../../../shared/networks.ts';

/**
 * Where a request comes from: the socket's other end, or, as long as that is a proxy that is trusted, whom it says it speaks
 * for. What stands further left than an address that nobody trusts was written by that one, and is not believed.
 * @param forwardedFor the header `x-forwarded-for`: each proxy adds the address that it was asked from at its end
 * @returns '' when nobody knows
 */
export function clientAddress(
  socketAddress: string | undefined,
  forwardedFor: string | string[] | undefined,
  trusted: Networks | undefined,
): string {
  let address = socketAddress ?? '';
  if (trusted === undefined || forwardedFor === undefined) return address;
  const said = String(forwardedFor).split(',');
  while (trusted.has(address)) {
    const before = said.pop();
    if (before === undefined) break;
    address = withoutPort(before.trim());
  }
  return address;
}

/** Some proxies add the port: `10.0.0.1:4711`, `[::1]:4711`. */
function withoutPort(text: string): string {
  return /^\[(.*)\](?::\d+)?$/.exec(text)?.[1] ?? /^(\d+\.\d+\.\d+\.\d+):\d+$/.exec(text)?.[1] ?? text;
}
