import { expect, test } from 'vitest';
import { Networks, parseNetwork } from './networks.ts';

test.each([
  { text: '10.0.0.0/8', network: { address: '10.0.0.0', prefix: 8, family: 'ipv4' } },
  { text: '10.1.2.3', network: { address: '10.1.2.3', prefix: 32, family: 'ipv4' } },
  { text: '2001:db8::/32', network: { address: '2001:db8::', prefix: 32, family: 'ipv6' } },
  { text: '0.0.0.0/0', network: { address: '0.0.0.0', prefix: 0, family: 'ipv4' } },
  { text: '::1', network: { address: '::1', prefix: 128, family: 'ipv6' } },
  { text: '10.0.0.0/33', network: undefined },
  { text: '::/129', network: undefined },
  { text: '10.0.0.0/', network: undefined },
  { text: '10.0.0.0/8/8', network: undefined },
  { text: '10.0.0/8', network: undefined },
  { text: 'fe80::1%eth0', network: undefined },
  { text: 'example.com', network: undefined },
  { text: '', network: undefined },
])('$text is $network', ({ text, network }) => {
  expect(parseNetwork(text)).toEqual(network);
});

test.each([
  { address: '10.255.0.1', isIn: true, why: 'within the prefix' },
  { address: '11.0.0.1', isIn: false, why: 'beside it' },
  { address: '::ffff:10.0.0.1', isIn: true, why: 'IPv4 on a dual-stack socket' },
  { address: '192.168.7.9', isIn: true, why: 'bits beyond the prefix are ignored' },
  { address: '2001:db8:ffff::1', isIn: true, why: 'IPv6' },
  { address: '2001:db9::1', isIn: false, why: 'IPv6 beside it' },
  { address: '', isIn: false, why: 'a socket that is closed has no address' },
])('$address: $isIn ($why)', ({ address, isIn }) => {
  const networks = new Networks(['10.0.0.0/8', '192.168.7.1/24', '2001:db8::/32', 'nonsense']);
  expect(networks.has(address)).toBe(isIn);
});
