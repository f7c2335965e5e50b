/** Where a hub's metadata is kept: in ovsdb-server, which survives the control plane's process and commits all of a change or nothing. */
import { rmSync } from 'node:fs';
import { OvsdbClient, setOf, type Operation, type Row, type Value } from '../../lib/ovs/ovsdb.ts';
import { startDatabase, type Database, type DatabaseSchema } from '../../lib/ovs/server.ts';
import { checked } from '../../../src/core/lightjson.ts';
import { EMPTY, metadata as metadataSchema, type Metadata } from '../model.ts';

const text = { type: 'string' };
const integer = { type: 'integer' };
const boolean = { type: 'boolean' };
const texts = { type: { key: 'string', min: 0, max: 'unlimited' } };
const optional = { type: { key: 'string', min: 0, max: 1 } };
const fields = { type: { key: 'string', value: 'string', min: 0, max: 'unlimited' } };

/** Tables by their names in Metadata, and what makes a row of them. `key` columns are unique together. */
const TABLES = {
  networks: {
    key: ['name'],
    columns: {
      name: text,
      number: integer,
      kind: text,
      account: optional,
      prefixes: texts,
      gateway: text,
      at: optional,
      shard: texts,
      byBgp: boolean,
      learned: texts,
      endpoint: optional,
      link: fields,
    },
  },
  domains: { key: ['name'], columns: { name: text, number: integer, hub: text, cells: texts, generation: integer } },
  attachments: { key: ['network'], columns: { network: text, position: integer, domain: text, propagates: texts, state: text } },
  records: { key: ['name', 'type', 'value'], columns: { network: text, name: text, type: text, value: text } },
  policies: { key: ['network', 'to'], columns: { network: text, to: text, addresses: text, firstPort: integer, lastPort: integer } },
  groups: { key: ['domain', 'address'], columns: { domain: text, address: text, members: texts } },
  routes: { key: ['domain', 'prefix'], columns: { domain: text, prefix: text, to: optional } },
  mappings: {
    key: ['network', 'as'],
    columns: {
      network: text,
      real: text,
      as: text,
      everybody: boolean,
      viewers: texts,
      origin: text,
      approved: boolean,
      atMs: { type: 'real' },
    },
  },
} as const;
type Table = keyof typeof TABLES;
const NAMES = Object.keys(TABLES) as Table[];

const SCHEMA: DatabaseSchema = {
  name: 'Hub',
  version: '1.0.0',
  tables: {
    hub: {
      columns: {
        version: integer,
        hubs: texts,
        pool: texts,
        accounts: texts,
        shares: texts,
        intercepts: texts,
        lost: texts,
        standby: texts,
        setup: integer,
      },
      isRoot: true,
      maxRows: 1,
    },
    ...Object.fromEntries(NAMES.map((name) => [name, { columns: TABLES[name].columns, isRoot: true, indexes: [TABLES[name].key] }])),
  },
};

/** Rows of a table, by their key. */
function rowsOf(metadata: Metadata, table: Table): Map<string, Row> {
  const rows: Row[] = metadata[table].map((entry, position): Row => {
    if ('shard' in entry)
      return {
        ...entry,
        prefixes: setOf(...entry.prefixes),
        shard: setOf(...entry.shard),
        account: entry.account ?? setOf(),
        byBgp: entry.learned !== null,
        learned: setOf(...(entry.learned ?? [])),
        endpoint: entry.endpoint ?? setOf(),
        at: entry.at ?? setOf(),
        link: ['map', Object.entries(entry.link ?? {})],
      };
    if ('cells' in entry) return { ...entry, cells: setOf(...entry.cells) };
    if ('propagates' in entry) return { ...entry, position, propagates: setOf(...entry.propagates) };
    if ('real' in entry) return { ...entry, everybody: entry.viewers === null, viewers: setOf(...(entry.viewers ?? [])) };
    // Network and address: neither has a blank in it.
    if ('members' in entry) return { ...entry, members: setOf(...entry.members.map((m) => `${m.network} ${m.address}`)) };
    if ('addresses' in entry) return { ...entry };
    if ('to' in entry) return { ...entry, to: entry.to === null ? setOf() : entry.to };
    return { ...entry };
  });
  return new Map(rows.map((row) => [JSON.stringify(TABLES[table].key.map((column) => row[column])), row]));
}

const listOf = (value: Value): Value[] => (Array.isArray(value) && value[0] === 'set' ? (value[1] as Value[]) : [value]);

/** A row as the database has it, to what is in Metadata. */
function entryOf(table: Table, row: Row): Record<string, unknown> {
  const sets = Object.entries(TABLES[table].columns).filter(([, { type }]) => typeof type === 'object');
  const entry = { ...row, ...Object.fromEntries(sets.map(([column]) => [column, listOf(row[column])])) };
  if (table === 'networks')
    return {
      ...without(entry, 'byBgp'),
      account: listOf(row['account'])[0] ?? null,
      learned: row['byBgp'] === true ? listOf(row['learned']) : null,
      endpoint: listOf(row['endpoint'])[0] ?? null,
      at: listOf(row['at'])[0] ?? null,
      link: linkOf(row['link']),
    };
  if (table === 'groups') return { ...entry, members: listOf(row['members']).map(memberOf) };
  if (table === 'routes') return { ...entry, to: listOf(row['to'])[0] ?? null };
  if (table === 'mappings') return { ...without(entry, 'everybody'), viewers: row['everybody'] === true ? null : listOf(row['viewers']) };
  return table === 'attachments' ? without(entry, 'position') : entry;
}

/** A network that is no end of a link has none of its fields. */
function linkOf(value: Value): Record<string, Value> | null {
  const pairs = Array.isArray(value) && value[0] === 'map' ? (value[1] as [string, Value][]) : [];
  return pairs.length === 0 ? null : Object.fromEntries(pairs);
}

function memberOf(value: Value): Record<string, unknown> {
  const [network, address] = String(value).split(' ');
  return { network, address };
}

const without = (entry: Readonly<Record<string, unknown>>, column: string): Record<string, unknown> =>
  Object.fromEntries(Object.entries(entry).filter(([name]) => name !== column));

/** What makes one state of the metadata of another, as one transaction. It fails where somebody else has changed it meanwhile. */
export function transactionOf(before: Metadata, after: Metadata): Operation[] {
  const operations: Operation[] = [
    { op: 'wait', timeout: 0, table: 'hub', where: [], columns: ['version'], until: '==', rows: [{ version: before.version }] },
    {
      op: 'update',
      table: 'hub',
      where: [],
      row: {
        version: after.version,
        hubs: setOf(...after.hubs),
        pool: setOf(...after.pool),
        accounts: setOf(...after.accounts),
        shares: setOf(...after.shares),
        intercepts: setOf(...after.intercepts),
        lost: setOf(...after.lost),
        standby: setOf(...after.standby),
        setup: after.setup,
      },
    },
  ];
  for (const table of NAMES) {
    if (before[table] === after[table]) continue;
    const [was, is] = [rowsOf(before, table), rowsOf(after, table)];
    const isSame = (key: string): boolean => JSON.stringify(was.get(key)) === JSON.stringify(is.get(key));
    for (const [key, row] of was)
      if (!isSame(key)) operations.push({ op: 'delete', table, where: TABLES[table].key.map((column) => [column, '==', row[column]]) });
    for (const [key, row] of is) if (!isSame(key)) operations.push({ op: 'insert', table, row });
  }
  return operations;
}

export class HubStore {
  readonly #client: OvsdbClient;
  readonly #database: Database;
  readonly #dir: string;
  #metadata: Metadata;

  private constructor(client: OvsdbClient, database: Database, dir: string, metadata: Metadata) {
    this.#client = client;
    this.#database = database;
    this.#dir = dir;
    this.#metadata = metadata;
  }

  /** With what a predecessor left. `onLost`: the database has ended. */
  static async open(dir: string, onLost: (why: string) => void): Promise<HubStore> {
    const database = await startDatabase(dir, SCHEMA);
    const client = await OvsdbClient.connect({ path: database.socket }, SCHEMA.name, onLost);
    const [hub] = await client.transact([{ op: 'select', table: 'hub', where: [] }]);
    const isFirst = hub?.rows?.length === 0;
    if (isFirst) await client.transact([{ op: 'insert', table: 'hub', row: { version: 0 } }]);
    const all: Operation[] = [{ op: 'select', table: 'hub', where: [] }];
    for (const table of NAMES) all.push({ op: 'select', table, where: [], columns: Object.keys(TABLES[table].columns) });
    const [hubs, ...tables] = await client.transact(all);
    const row = hubs?.rows?.[0] ?? {};
    const found: Record<string, unknown> = {
      ...EMPTY,
      version: row['version'] ?? 0,
      hubs: isFirst ? EMPTY.hubs : listOf(row['hubs'] ?? setOf()),
      pool: listOf(row['pool'] ?? setOf()),
      accounts: listOf(row['accounts'] ?? setOf()),
      shares: listOf(row['shares'] ?? setOf()),
      intercepts: listOf(row['intercepts'] ?? setOf()),
      lost: listOf(row['lost'] ?? setOf()),
      standby: listOf(row['standby'] ?? setOf()),
      setup: row['setup'] ?? 0,
    };
    NAMES.forEach((table, i) => {
      const rows = [...(tables[i]?.rows ?? [])];
      if (table === 'attachments') rows.sort((a, b) => Number(a['position']) - Number(b['position']));
      found[table] = rows.map((row) => entryOf(table, row));
    });
    return new HubStore(client, database, dir, checked(metadataSchema, found));
  }

  get metadata(): Metadata {
    return this.#metadata;
  }

  async put(next: Metadata): Promise<void> {
    await this.#client.transact(transactionOf(this.#metadata, next));
    this.#metadata = next;
  }

  /** With all that it holds: the hub is no more. A process that dies without it leaves the hub to the next one. */
  async remove(): Promise<void> {
    this.#client.close();
    await this.#database.daemon.stop();
    rmSync(this.#dir, { recursive: true, force: true });
  }
}
