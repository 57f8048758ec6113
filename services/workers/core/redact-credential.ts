import { GatewayError } from '../../../shared/errors.ts';

/** A provider may quote the credential in any of its words. */
export function redactCredential(error: GatewayError, secret: string | undefined): GatewayError {
  if (secret === undefined || secret === '') return error;
  const strike = <T extends string | undefined>(text: T): string | T => text?.replaceAll(secret, '[redacted]') ?? text;
  const { code, message, param, retryAfterMs, upstream, cause } = error;
  const said = upstream && { status: upstream.status, code: strike(upstream.code), type: strike(upstream.type) };
  return new GatewayError(code, strike(message), { param: strike(param), retryAfterMs, upstream: said, cause });
}
