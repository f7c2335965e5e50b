/** The hub's metadata in a real ovsdb-server: what a control plane finds there after another one has died. */
import assert from 'node:assert/strict';
import { existsSync, mkdtempSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test from 'ava';
import { execa } from 'execa';
import { EMPTY, type Metadata } from '../../agents/hub/model.ts';
import { named } from '../support/hub.ts';

/** Something of every kind, each with and without what may be absent. */
const FULL: Metadata = {
  version: 7,
  hubs: ['hub', 'west'],
  networks: [
    named('A', 1, ['10.7.0.0/24']),
    {
      ...named('B', 2, ['10.8.0.0/24', '10.255.0.0/30']),
      kind: 'link',
      link: { hub: 'west', other: 'A', transit: '10.255.0.0/30' },
      account: 'acme',
      learned: ['10.8.0.0/24'],
      endpoint: '10.8.0.53',
      at: 'gb',
    },
  ],
  domains: [{ name: 'main', number: 1, hub: 'hub', cells: ['east'], generation: 3 }],
  attachments: [
    { network: 'B', domain: 'main', propagates: ['main'], state: 'pending' },
    { network: 'A', domain: 'main', propagates: [], state: 'attached' },
  ],
  routes: [
    { domain: 'main', prefix: '198.51.100.0/24', to: 'A' },
    { domain: 'main', prefix: '198.51.101.0/24', to: null },
  ],
  mappings: [
    { network: 'A', real: '10.7.0.0/24', as: '12.7.0.0/24', viewers: null, origin: 'client', approved: true, atMs: 1.5 },
    { network: 'A', real: '10.7.0.0/24', as: '12.8.0.0/24', viewers: ['B'], origin: 'service', approved: false, atMs: 2 },
  ],
  pool: ['12.0.0.0/8'],
  accounts: ['acme'],
  shares: ['A'],
  intercepts: ['B'],
  records: [{ network: 'A', name: 'www.a.example', type: 'A', value: '10.7.0.1' }],
  groups: [{ domain: 'main', address: '172.31.0.1', members: [{ network: 'A', address: '10.7.0.1' }] }],
  policies: [{ network: 'A', to: 'B', addresses: '100.127.0.0/20', firstPort: 40_000, lastPort: 49_999 }],
  lost: ['a1'],
  standby: ['a2', 'd2'],
  setup: 4,
};

/** Sets and tables of the database have no order of their own, but attachments have. */
const ordered = (value: unknown, name = ''): unknown => {
  if (Array.isArray(value)) {
    const all = value.map((entry) => ordered(entry));
    return name === 'attachments' ? all : all.sort((a, b) => JSON.stringify(a).localeCompare(JSON.stringify(b)));
  }
  if (typeof value !== 'object' || value === null) return value;
  const entries = Object.entries(value).sort(([a], [b]) => a.localeCompare(b));
  return Object.fromEntries(entries.map(([key, own]) => [key, ordered(own, key)]));
};

test('what was stored is found again by who comes next, and a second change by the one after', async () => {
  const dir = mkdtempSync(join(tmpdir(), 'netrig-hubstore-'));
  const found = async (...next: readonly string[]): Promise<unknown> => {
    const { stdout } = await execa(process.execPath, [join(import.meta.dirname, '../support/hubstore.ts'), dir, ...next]);
    return JSON.parse(stdout.split('\n').at(-1) ?? '');
  };
  const less: Metadata = { ...EMPTY, version: 8, networks: FULL.networks.slice(0, 1) };
  assert.deepEqual(ordered(await found(JSON.stringify(FULL))), ordered(EMPTY));
  assert.deepEqual(ordered(await found(JSON.stringify(less))), ordered(FULL));
  assert.deepEqual(ordered(await found('remove')), ordered(less));
  assert.equal(existsSync(dir), false);
});
