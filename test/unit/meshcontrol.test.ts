/** Parts of the full mesh's controllers and hosts, each for itself: whose addresses are, who has what, and what is published. */
import assert from 'node:assert/strict';
import fc from 'fast-check';
import test from 'ava';
import type { Change, Etcd } from '../../agents/lib/etcd/client.ts';
import { contains, formatPrefix, network, parseAddress, prefixOf } from '../../agents/lib/prefix.ts';
import { Holdings } from '../../agents/mesh/control/holdings.ts';
import { Publication } from '../../agents/mesh/control/publication.ts';
import { Controllers } from '../../agents/mesh/host/controllers.ts';
import { Owners, type Owner } from '../../agents/mesh/host/owners.ts';
import { until } from '../support/until.ts';

const NETWORKS = ['A', 'B', 'C', 'D'];
const prefix = fc
  .tuple(fc.constantFrom('10.1.2.3', '10.1.9.9', '10.200.0.1'), fc.constantFrom(8, 16, 24))
  .map(([address, length]) => formatPrefix(network(parseAddress(address)!, length)));
const step = fc.oneof(
  fc.record({ put: fc.constantFrom(...NETWORKS), prefixes: fc.array(prefix, { maxLength: 3 }) }),
  fc.record({ remove: fc.constantFrom(...NETWORKS.slice(1)) }),
  fc.record({ route: prefix, to: fc.option(fc.constantFrom(...NETWORKS.slice(1))) }),
);

test('whose an address is follows from what all say now, whatever they said before; and what has changed is told', () => {
  fc.assert(
    fc.property(fc.array(step, { maxLength: 25 }), (steps) => {
      const owners = new Owners('A');
      const has = new Map<string, readonly string[]>();
      const winners = new Map<string, string>();
      const wanted = (text: string): Owner | undefined => {
        const address = parseAddress(text)!;
        for (const length of [24, 16, 8]) {
          const own = formatPrefix(network(address, length));
          const having = [...has].filter(([, prefixes]) => prefixes.includes(own)).map(([name]) => name);
          if (having.includes('A')) return { peer: 'A', route: null };
          if (having.length > 0) return { peer: having.sort()[0]!, route: null };
          const winner = winners.get(own);
          if (winner !== undefined && has.has(winner)) return { peer: winner, route: own };
        }
        return undefined;
      };
      const addresses = ['10.1.2.3', '10.1.2.9', '10.1.9.9', '10.1.1.1', '10.200.0.1', '10.9.9.9'];
      for (const s of steps) {
        const before = addresses.map((a) => owners.find(parseAddress(a)!));
        let changed;
        if ('put' in s) {
          has.set(s.put, s.prefixes);
          changed = owners.put(s.put, s.prefixes);
        } else if ('remove' in s) {
          has.delete(s.remove);
          changed = owners.remove(s.remove);
        } else {
          if (s.to === null) winners.delete(s.route);
          else winners.set(s.route, s.to);
          changed = owners.win(s.route, s.to);
        }
        for (const [i, text] of addresses.entries()) {
          const now = owners.find(parseAddress(text)!);
          assert.deepEqual(now, wanted(text), text);
          const isTold = changed.some((p) => contains(p, parseAddress(text)!));
          if (before[i]?.peer !== now?.peer || before[i]?.route !== now?.route) assert.ok(isTold, `${text} has changed`);
        }
      }
      const all = new Set([...has.values()].flat());
      for (const [route, to] of winners) if (has.has(to)) all.add(route);
      assert.deepEqual(owners.prefixes.sort(), [...all].map((p) => formatPrefix(prefixOf(p))).sort());
    }),
    { numRuns: 500 },
  );
});

test('what somebody has is the sum of what follows from all, until it follows no more', () => {
  const holdings = new Holdings();
  const now = (): Record<string, string[]> => Object.fromEntries([...holdings.concerned].map(([who, what]) => [who, [...what].sort()]));
  holdings.assign(
    'A',
    new Map([
      ['h1', ['a']],
      ['h2', ['a']],
    ]),
  );
  holdings.assign('B', new Map([['h1', ['a', 'b']]]));
  assert.deepEqual(now(), { h1: ['a', 'b'], h2: ['a'] });
  holdings.settle(['h1', 'h2']);
  assert.deepEqual(now(), {});
  holdings.assign('A', new Map([['h3', ['a']]]));
  assert.deepEqual(now(), { h1: ['a', 'b'], h2: [], h3: ['a'] });
  assert.ok(holdings.isAnybodys('A'));
  holdings.assign('A', new Map());
  assert.ok(!holdings.isAnybodys('A'));
  holdings.settle(['h1', 'h2', 'h3']);
  holdings.concern(['h1']);
  assert.deepEqual(now(), { h1: ['a', 'b'] });
});

/** An etcd that takes nothing as long as it fails. */
class Server {
  readonly commits: { readonly put: Record<string, string>; readonly remove: string[] }[] = [];
  fails = false;
  readonly client = {
    commit: async ({ put, remove }: Change) => {
      if (this.fails) throw new Error('not there');
      this.commits.push({ put: Object.fromEntries(put), remove: [...remove] });
      return this.commits.length;
    },
  } as Partial<Etcd> as Etcd;
}

test('only what differs is written, in one transaction; what could not be written is written with the next one', async () => {
  const server = new Server();
  const publication = new Publication(
    server.client,
    new Map([
      ['/a', '1'],
      ['/old', 'x'],
    ]),
  );
  publication.stage(
    'A',
    new Map([
      ['/a', '1'],
      ['/b', '2'],
    ]),
  );
  assert.equal(await publication.commit(), 1);
  assert.deepEqual(server.commits, [{ put: { '/b': '2' }, remove: [] }]);
  publication.stage('A', new Map([['/a', '3']]));
  server.fails = true;
  await assert.rejects(publication.commit(), /not there/);
  assert.equal(publication.of('A').get('/b'), '2');
  server.fails = false;
  publication.stage('B', new Map([['/c', '4']]));
  publication.put('/more', 'm');
  await publication.commit();
  assert.deepEqual(server.commits.at(-1), { put: { '/more': 'm', '/a': '3', '/c': '4' }, remove: ['/b'] });
  assert.equal(await publication.commit(), 0);
  await publication.clear();
  assert.deepEqual(server.commits.at(-1), { put: {}, remove: ['/old'] });
});

test('where it is not known whether a write was done, what follows now is written whatever that was', async () => {
  const server = new Server();
  const publication = new Publication(server.client, new Map([['/left', '1']]));
  publication.stage('A', new Map([['/a', '1']]));
  await publication.commit();
  server.fails = true;
  publication.put('/given', 'g');
  publication.stage(
    'A',
    new Map([
      ['/a', '2'],
      ['/b', '2'],
    ]),
  );
  await assert.rejects(publication.commit());
  server.fails = false;
  // Its owner was told that it was not done.
  publication.stage('A', new Map([['/a', '1']]));
  await publication.commit();
  assert.deepEqual(server.commits.at(-1), { put: { '/given': 'g', '/a': '1' }, remove: ['/b'] });
  assert.equal(await publication.commit(), 0);
  // What a predecessor left and this one has taken away is not there any more.
  publication.stage('B', new Map([['/left', '1']]));
  assert.equal(await publication.commit(), 0);
  publication.stage('B', new Map());
  await publication.commit();
  publication.stage('B', new Map([['/left', '1']]));
  await publication.commit();
  assert.deepEqual(server.commits.at(-1), { put: { '/left': '1' }, remove: [] });
});

test('rows that are written at once go in one transaction, the last value of each; none is lost while the controller is away', async () => {
  const server = new Server();
  const controllers = new Controllers(() => server.client);
  const at = { name: 'c1', address: '10.0.0.1' };
  const write = (key: string, value: string, isWanted = () => true): Promise<void> => controllers.write(at, key, value, isWanted);
  await Promise.all([write('/a', '1'), write('/b', '1'), write('/a', '2'), write('/c', '1', () => false)]);
  assert.deepEqual(server.commits, [{ put: { '/a': '2', '/b': '1' }, remove: [] }]);
  server.fails = true;
  const first = write('/a', '3');
  await until(() => controllers.known.length === 1, 'a session');
  await new Promise(setImmediate);
  const second = write('/a', '4');
  server.fails = false;
  await Promise.all([first, second]);
  assert.deepEqual(server.commits.slice(1), [{ put: { '/a': '4' }, remove: [] }]);
});
