/** Addresses, prefixes and tables of them. */
import assert from 'node:assert/strict';
import fc from 'fast-check';
import test from 'ava';
import {
  addressBytes,
  addressFromBytes,
  contains,
  formatAddress,
  formatPrefix,
  mapped,
  network,
  overlap,
  parseAddress,
  parsePrefix,
  prefixOf,
  PrefixTable,
  type Address,
  type Prefix,
} from '../../agents/lib/prefix.ts';
import { address } from '../support/hub.ts';

const anyAddress = fc.oneof(
  fc.bigInt({ min: 0n, max: (1n << 32n) - 1n }).map((value): Address => ({ family: 4, value })),
  fc.bigInt({ min: 0n, max: (1n << 128n) - 1n }).map((value): Address => ({ family: 6, value })),
);
const anyPrefix = fc.tuple(anyAddress, fc.nat(32)).map(([a, length]): Prefix => network(a, length));

test('prefix: addresses survive bytes and text; IPv6 as in RFC 5952', () => {
  fc.assert(fc.property(anyAddress, (a) => assert.deepEqual(parseAddress(formatAddress(a)), a)));
  fc.assert(fc.property(anyAddress, (a) => assert.deepEqual(addressFromBytes(addressBytes(a)), a)));
  assert.equal(formatAddress(address('2001:db8:0:0:1:0:0:1')), '2001:db8::1:0:0:1');
  assert.equal(formatAddress(address('0:0:0:0:0:0:0:0')), '::');
});

test('prefix: bits beyond the length, lengths that are none, and words are refused', () => {
  for (const text of ['192.168.1.1/24', '10.0.0.0/33', '10.0.0/8', '10.0.0.0/08', '10.0.0.0/-1', '2001:db8::/129', 'x', '', '10.0.0.0/8/8'])
    assert.equal(parsePrefix(text), undefined, text);
  fc.assert(fc.property(anyPrefix, (p) => assert.deepEqual(parsePrefix(formatPrefix(p)), p)));
});

test('prefix: overlap is what both contain; mapping one to one and back', () => {
  fc.assert(
    fc.property(anyPrefix, anyPrefix, (a, b) => {
      const common = overlap(a, b);
      assert.deepEqual(overlap(b, a)?.length, common?.length);
      if (common) assert.ok(contains(a, common) && contains(b, common));
    }),
  );
  const [from, to] = [prefixOf('192.168.1.0/24'), prefixOf('12.7.1.0/24')];
  assert.equal(formatAddress(mapped(address('192.168.1.77'), from, to)), '12.7.1.77');
  assert.equal(formatAddress(mapped(mapped(address('192.168.1.77'), from, to), to, from)), '192.168.1.77');
});

test('R1-7 the longest prefix decides: as by comparing all', () => {
  fc.assert(
    fc.property(fc.array(anyPrefix, { maxLength: 30 }), anyAddress, (prefixes, a) => {
      const table = new PrefixTable<number>();
      prefixes.forEach((p, i) => table.set(p, i));
      const best = prefixes.filter((p) => contains(p, a)).sort((x, y) => y.length - x.length)[0];
      assert.equal(table.find(a)?.prefix.length, best?.length);
    }),
  );
});
