import { expect, test } from 'vitest';
import { Networks } from '../../../shared/networks.ts';
import { clientAddress } from './client-address.ts';

const PROXIES = ['10.0.0.0/8'];

test.each([
  { socket: '203.0.113.9', said: undefined, trusted: [], is: '203.0.113.9', why: 'nobody says anything' },
  { socket: '10.0.0.1', said: '192.0.2.1', trusted: undefined, is: '10.0.0.1', why: 'no proxy is trusted' },
  { socket: '203.0.113.9', said: '192.0.2.1', trusted: PROXIES, is: '203.0.113.9', why: 'it is no proxy of ours' },
  { socket: '10.0.0.1', said: '192.0.2.1', trusted: PROXIES, is: '192.0.2.1', why: 'a proxy says for whom' },
  { socket: '::ffff:10.0.0.1', said: '192.0.2.1', trusted: PROXIES, is: '192.0.2.1', why: 'on a dual-stack socket' },
  {
    socket: '10.0.0.1',
    said: '6.6.6.6, 192.0.2.1',
    trusted: PROXIES,
    is: '192.0.2.1',
    why: 'the rest is the client’s',
  },
  { socket: '10.0.0.1', said: '192.0.2.1, 10.0.0.2', trusted: PROXIES, is: '192.0.2.1', why: 'two proxies' },
  { socket: '10.0.0.1', said: '10.0.0.3, 10.0.0.2', trusted: PROXIES, is: '10.0.0.3', why: 'all of it is ours' },
  { socket: '10.0.0.1', said: '192.0.2.1:4711', trusted: PROXIES, is: '192.0.2.1', why: 'with a port' },
  { socket: '10.0.0.1', said: '[2001:db8::1]:4711', trusted: PROXIES, is: '2001:db8::1', why: 'IPv6 with a port' },
  { socket: '10.0.0.1', said: 'unknown', trusted: PROXIES, is: 'unknown', why: 'what is no address is in no network' },
  { socket: undefined, said: '192.0.2.1', trusted: PROXIES, is: '', why: 'the socket is closed' },
])('$is ($why)', ({ socket, said, trusted, is }) => {
  expect(clientAddress(socket, said, trusted === undefined ? undefined : new Networks(trusted))).toBe(is);
});
