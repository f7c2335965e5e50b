import assert from 'node:assert/strict';
import test from 'ava';
import { automate, createDomain, createHub, modify } from '../../agents/hub/control/configuration.ts';
import { attach, detach, supply } from '../../agents/hub/control/attachments.ts';
import { versioned, type Edit } from '../../agents/hub/control/edit.ts';
import { linked, linkHubs, unlinkHubs } from '../../agents/hub/control/links.ts';
import { judge, viewsOf } from '../../agents/hub/decision/view.ts';
import { EMPTY, type Metadata, type Network } from '../../agents/hub/model.ts';
import { formatAddress } from '../../agents/lib/prefix.ts';
import { address, code, named } from '../support/hub.ts';

/** Both ends of a link between two hubs. */
const ends = (a: string, b: string, number: number): Network[] => {
  const transit = `10.255.${number}.0/30`;
  const end = (hub: string, to: string, n: number): Network => ({
    ...named(`${hub}-${to}`, n, [transit]),
    kind: 'link',
    learned: [transit],
    link: { hub, other: `${to}-${hub}`, transit },
  });
  return [end(a, b, number), end(b, a, number + 1)];
};
/** Three hubs, each with one network, and links from each to each. */
const start: Metadata = {
  ...EMPTY,
  hubs: ['x', 'y', 'z'],
  networks: [
    named('X', 1, ['10.1.0.0/24']),
    named('Y', 2, ['10.2.0.0/24']),
    named('Z', 3, ['10.1.0.0/24']),
    ...ends('x', 'y', 4),
    ...ends('y', 'z', 6),
    ...ends('x', 'z', 8),
  ],
};
type Change = (m: Metadata) => Edit<unknown>;
const changed = (from: Metadata, ...edits: readonly Change[]): Metadata => edits.reduce((m, edit) => versioned(linked(edit(m), 5)), from);
const link =
  (...vths: string[]): Change =>
  (m) =>
    linkHubs(m, { vths }, 5);
const HUBS = ['x', 'y', 'z'];
const domains = HUBS.map(
  (hub): Change =>
    (m) =>
      createDomain(m, { domain: hub, vth: hub }, ['main']),
);
const everybody = HUBS.map(
  (hub): Change =>
    (m) =>
      attach(m, { network: hub.toUpperCase(), domain: hub }, 5),
);
const attached = changed(start, ...domains, ...everybody);

/** Where a packet of a network gets to, over gateways of links, and the addresses that it has there. */
function journey(m: Metadata, from: string, source: string, destination: string): string {
  const views = viewsOf(m);
  let [at, s, d] = [from, address(source), address(destination)];
  const way: string[] = [];
  for (;;) {
    const view = views.byName.get(at);
    if (!view) return [...way, 'not attached'].join(' ');
    const verdict = judge(views, view, s, d);
    if (verdict.kind !== 'send') return [...way, verdict.kind === 'drop' ? verdict.reason : 'copy'].join(' ');
    [s, d] = [verdict.source ?? s, verdict.destination ?? d];
    way.push(verdict.to.name);
    if (!verdict.to.link || way.length > 9) return `${way.join(' ')} ${formatAddress(s)} ${formatAddress(d)}`;
    at = verdict.to.link.other;
  }
}

test('R1-46 hubs reach each other through both ends of a link, and not before it', () => {
  assert.equal(journey(attached, 'X', '10.1.0.1', '10.2.0.1'), 'no-route');
  const joined = changed(attached, link('x', 'y'));
  assert.equal(journey(joined, 'X', '10.1.0.1', '10.2.0.1'), 'x-y Y 10.1.0.1 10.2.0.1');
  assert.equal(journey(joined, 'Y', '10.2.0.1', '10.1.0.1'), 'y-x X 10.2.0.1 10.1.0.1');
  assert.equal(journey(joined, 'X', '10.9.9.9', '10.2.0.1'), 'denied');
  const parted = changed(joined, (m) => unlinkHubs(m, { vths: ['x', 'y'] }));
  assert.equal(journey(parted, 'X', '10.1.0.1', '10.2.0.1'), 'no-route');
});

test('R1-46 what comes over a link and is ambiguous is not reached, until a mapping says how', () => {
  const chain = changed(attached, link('x', 'y'), link('y', 'z'));
  // Both X and Z are 10.1.0.0/24: Y reaches the one whose link was there first.
  assert.equal(journey(chain, 'Y', '10.2.0.1', '10.1.0.1'), 'y-x X 10.2.0.1 10.1.0.1');
  assert.equal(journey(chain, 'Z', '10.1.0.1', '10.2.0.1'), 'z-y denied');
  const mapped = changed(chain, (m) => supply(m, { network: 'y-z', mappings: [{ real: '10.1.0.0/24', as: '12.1.0.0/24' }] }, 5));
  assert.equal(journey(mapped, 'Y', '10.2.0.1', '12.1.0.7'), 'y-z Z 10.2.0.1 10.1.0.7');
  assert.equal(journey(mapped, 'Z', '10.1.0.7', '10.2.0.1'), 'z-y Y 12.1.0.7 10.2.0.1');
  // X sees Z as Y does; the link to Z cannot tell X from Z.
  assert.equal(journey(mapped, 'X', '10.1.0.1', '12.1.0.7'), 'x-y denied');
});

test('R1-46 a hub that may resolve overlaps does so for what comes over links: both ways lead back', () => {
  const chain = changed(attached, (m) => automate(m, { pool: ['12.0.0.0/16'] }), link('x', 'y'), link('y', 'z'));
  /** The prefix of the pool that is reached through an end of a link. */
  const over = (end: string): string =>
    (chain.networks.find((n) => n.name === end)?.prefixes.find((p) => p.startsWith('12.')) ?? 'none').replace('.0/24', '.');
  const [x, z] = [`${over('z-y')}1`, `${over('x-y')}9`];
  assert.equal(journey(chain, 'X', '10.1.0.1', z), `x-y y-z Z ${x} 10.1.0.9`);
  assert.equal(journey(chain, 'Z', '10.1.0.9', x), `z-y y-x X ${z} 10.1.0.1`);
});

test('R1-46 a ring: the shortest way, no hub twice, and another way when a link goes', () => {
  const ring = changed(
    { ...start, networks: start.networks.map((n) => (n.name === 'Z' ? { ...n, prefixes: ['10.3.0.0/24'] } : n)) },
    ...domains,
    ...everybody,
    link('x', 'y'),
    link('y', 'z'),
    link('x', 'z'),
  );
  assert.equal(journey(ring, 'X', '10.1.0.1', '10.3.0.1'), 'x-z Z 10.1.0.1 10.3.0.1');
  assert.equal(journey(ring, 'Z', '10.3.0.1', '10.1.0.1'), 'z-x X 10.3.0.1 10.1.0.1');
  const open = changed(ring, (m) => unlinkHubs(m, { vths: ['z', 'x'] }));
  assert.equal(journey(open, 'X', '10.1.0.1', '10.3.0.1'), 'x-y y-z Z 10.1.0.1 10.3.0.1');
  // What its hub has no more is offered to nobody: no two hubs go on telling each other.
  const gone = changed(open, (m) => detach(m, { network: 'Z' }));
  assert.equal(journey(gone, 'X', '10.1.0.1', '10.3.0.1'), 'no-route');
  const more = changed(open, (m) => modify(m, { addPrefixes: [{ network: 'Z', prefix: '10.4.0.0/24' }] }, 5));
  assert.equal(journey(more, 'X', '10.1.0.1', '10.4.0.1'), 'x-y y-z Z 10.1.0.1 10.4.0.1');
});

test('R1-46 a change that concerns no link renews nothing beyond what it says', () => {
  const joined = changed(attached, link('x', 'y'));
  const again = changed(joined, (m) => createHub(m, { vth: 'w' }));
  assert.deepEqual(
    again.domains.map((d) => d.generation),
    joined.domains.map((d) => d.generation),
  );
});

test('R1-46 refused: hubs that are not there or not joined, domains of another hub, ends in another one', () => {
  assert.equal(
    code(() => linkHubs(attached, { vths: ['x', 'w'] }, 5)),
    'UnknownVTH',
  );
  assert.equal(
    code(() => unlinkHubs(attached, { vths: ['x', 'y'] })),
    'NoLink',
  );
  assert.equal(
    code(() => attach(attached, { network: 'x-y', domain: 'y' }, 5)),
    'InvalidRequest',
  );
  assert.equal(
    code(() => attach(detach(attached, { network: 'X' }).metadata, { network: 'X', domain: 'x', propagates: ['x', 'y'] }, 5)),
    'InvalidRequest',
  );
  assert.equal(
    code(() => createDomain(attached, { domain: 'w' }, ['main'])),
    'InvalidRequest',
  );
});

test('R1-46 a pool that is too small keeps a prefix away, and refuses nothing; two links between two hubs, again and again', () => {
  const doubled: Metadata = {
    ...attached,
    networks: [
      ...attached.networks.map((n) => (n.name === 'X' ? { ...n, prefixes: ['10.1.0.0/16'] } : n)),
      ...ends('x', 'y', 20).map((n) => ({ ...n, name: `${n.name}-2`, link: n.link && { ...n.link, other: `${n.link.other}-2` } })),
    ],
  };
  const small: Change = (m) => automate(m, { pool: ['12.0.0.0/24'] });
  const joined = changed(doubled, small, link('x', 'y'));
  const later = changed(joined, (m) => createHub(m, { vth: 'v' }));
  assert.deepEqual(later.networks, joined.networks);
  assert.deepEqual(later.mappings, joined.mappings);
  assert.match(journey(later, 'Y', '10.2.0.1', '10.1.0.1'), /^y-x(-2)? X /);
});

test('R1-46 a client’s mapping of what is not there yet outlives other changes', () => {
  const waiting = changed(attached, link('y', 'z'), (m) =>
    supply(m, { network: 'y-z', mappings: [{ real: '10.9.0.0/24', as: '12.9.0.0/24' }] }, 5),
  );
  const later = changed(waiting, (m) => modify(m, { addRoutes: [{ domain: 'x', prefix: '198.51.100.0/24' }] }, 5));
  assert.deepEqual(later.mappings, waiting.mappings);
  const there = changed(later, (m) => modify(m, { addPrefixes: [{ network: 'Z', prefix: '10.9.0.0/24' }] }, 5));
  assert.equal(journey(there, 'Y', '10.2.0.1', '12.9.0.1'), 'y-z Z 10.2.0.1 10.9.0.1');
});
