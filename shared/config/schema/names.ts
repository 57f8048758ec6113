import { parseNetwork } from '../../networks.ts';
import { InvalidValue } from '../fields.ts';

/** Of a provider, or a router: it becomes part of a NATS subject, of a metric's label, of a URL. */
export function checkPlainName(what: string): (name: string) => void {
  return (name) => {
    if (!/^[A-Za-z0-9][\w-]*$/.test(name)) {
      throw new InvalidValue(`a ${what} name consists of letters, digits, - and _`);
    }
  };
}

export function checkRouteName(name: string): void {
  if (name === '' || /[/,\s]/.test(name)) throw new InvalidValue('a route name must not contain `/`, `,` or spaces');
}

export function checkModelName(name: string): void {
  if (name === '' || /[,\s]/.test(name)) throw new InvalidValue('a model name must not contain `,` or spaces');
}

/** Variants stand in a header as `route=variant`, several of them with commas. */
export function checkVariantName(name: string): void {
  if (name === '' || /[,=\s]/.test(name)) {
    throw new InvalidValue('a variant name must not contain `,`, `=` or spaces');
  }
}

export function checkRegion(name: string): void {
  if (name === '' || /[,\s]/.test(name)) throw new InvalidValue('a region must not contain `,` or spaces');
}

export function checkTarget(reference: string): void {
  if (!/^[^/,\s]+\/[^,\s]+$/.test(reference))
    throw new InvalidValue(`"${reference}" is not of the form provider/model`);
}

/** A route, or `provider/model`. */
export function checkDowngrade(name: string): void {
  if (name.includes('/')) checkTarget(name);
  else checkRouteName(name);
}

/** An address, or a network as CIDR. */
export function checkNetwork(network: string): void {
  if (parseNetwork(network) === undefined)
    throw new InvalidValue(`"${network}" is not a network such as 10.0.0.0/8 or 2001:db8::/32`);
}

/** As a client sends it, or every model of a provider. */
export function checkModelPattern(pattern: string): void {
  checkModelName(pattern);
  if (/\*/.test(pattern.replace(/\/\*$/, ''))) throw new InvalidValue('a model is a name, or `provider/*`');
}
