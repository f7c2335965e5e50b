/**
 * A client of ovsdb-server (RFC 7047): transactions, and tables that are followed as they change. `monitor_cond` is Open
 * vSwitch's (ovsdb-server(7)): the server sends only the rows that a condition lets through.
 */
import type { NetConnectOpts } from 'node:net';
import { Type, type Static } from 'typebox';
import { record } from '../../../src/core/config/parts.ts';
import { checked } from '../../../src/core/lightjson.ts';
import { JsonRpc } from './jsonrpc.ts';

/** As the protocol writes it: an atom, ["uuid", …], ["set", […]] or ["map", [[…]]]. */
export type Value = unknown;
export type Row = Readonly<Record<string, Value>>;
/** [column, function, value], such as ["name", "==", "br0"]. */
export type Condition = readonly [column: string, is: '==' | '!=' | 'includes' | 'excludes' | '<' | '<=' | '>' | '>=', value: Value];

export type Operation =
  | { readonly op: 'select'; readonly table: string; readonly where: readonly Condition[]; readonly columns?: readonly string[] }
  | { readonly op: 'insert'; readonly table: string; readonly row: Row; readonly 'uuid-name'?: string }
  | { readonly op: 'update'; readonly table: string; readonly where: readonly Condition[]; readonly row: Row }
  | {
      readonly op: 'mutate';
      readonly table: string;
      readonly where: readonly Condition[];
      readonly mutations: readonly (readonly [column: string, mutator: string, value: Value])[];
    }
  | { readonly op: 'delete'; readonly table: string; readonly where: readonly Condition[] }
  /** The transaction fails where the rows are other than these: `timeout` 0, at once. */
  | {
      readonly op: 'wait';
      readonly timeout: number;
      readonly table: string;
      readonly where: readonly Condition[];
      readonly columns: readonly string[];
      readonly until: '==' | '!=';
      readonly rows: readonly Row[];
    }
  | { readonly op: 'assert'; readonly lock: string };

const result = Type.Object({
  uuid: Type.Optional(Type.Array(Type.String(), { minItems: 2, maxItems: 2 })),
  rows: Type.Optional(Type.Array(record(Type.Unknown()))),
  count: Type.Optional(Type.Integer()),
  error: Type.Optional(Type.String()),
  details: Type.Optional(Type.String()),
});
const results = Type.Array(Type.Union([result, Type.Null()]));
export type Result = Static<typeof result>;

/** What became of rows, by table and UUID: `initial` and `insert` hold all columns, `modify` those that changed. */
const updates = record(
  record(
    Type.Object({
      initial: Type.Optional(record(Type.Unknown())),
      insert: Type.Optional(record(Type.Unknown())),
      modify: Type.Optional(record(Type.Unknown())),
      delete: Type.Optional(Type.Unknown()),
    }),
  ),
);
export type Updates = Static<typeof updates>;

export interface Followed {
  readonly columns: readonly string[];
  /** Rows that are sent (default: all). */
  readonly where?: readonly Condition[];
}

export class OvsdbClient {
  readonly #rpc: JsonRpc;
  readonly #database: string;
  readonly #followers: Map<number, (changes: Updates) => void>;
  #monitors = 0;

  private constructor(rpc: JsonRpc, database: string, followers: Map<number, (changes: Updates) => void>) {
    this.#rpc = rpc;
    this.#database = database;
    this.#followers = followers;
  }

  /** `to`: { path } of a socket, or { host, port }. `onLost`: the connection broke; followed tables are not followed any more. */
  static async connect(to: NetConnectOpts, database: string, onLost: (why: string) => void): Promise<OvsdbClient> {
    const followers = new Map<number, (changes: Updates) => void>();
    const rpc = await JsonRpc.connect(to, {
      onLost,
      onNotification: (method, [id, changes]) => {
        if (method === 'update2' && typeof id === 'number') followers.get(id)?.(checked(updates, changes));
      },
    });
    return new OvsdbClient(rpc, database, followers);
  }

  /** All of it or nothing. Results in the order of the operations; an Error says which was refused, and why. */
  async transact(operations: readonly Operation[]): Promise<Result[]> {
    const answer = checked(results, await this.#rpc.call('transact', [this.#database, ...operations])) as (Result | null)[];
    const refused = answer.findIndex((r) => r?.error !== undefined);
    if (refused >= 0)
      throw new Error(
        `${operations[refused]?.op ?? 'commit'}: ${answer[refused]?.error}${answer[refused]?.details ? `: ${answer[refused].details}` : ''}`,
      );
    return answer.map((r) => r ?? {});
  }

  /** Follows tables. The rows that there are come first, then every change, in the order of transactions. */
  async follow(tables: Readonly<Record<string, Followed>>, onChange: (changes: Updates) => void): Promise<void> {
    const id = ++this.#monitors;
    // Changes may come before the answer does.
    const early: Updates[] = [];
    this.#followers.set(id, (changes) => early.push(changes));
    const requests = Object.fromEntries(
      Object.entries(tables).map(([table, { columns, where }]) => [table, [{ columns, ...(where ? { where } : {}) }]]),
    );
    onChange(checked(updates, await this.#rpc.call('monitor_cond', [this.#database, id, requests])));
    this.#followers.set(id, onChange);
    early.forEach(onChange);
  }

  /** A lock of the server: true, this client has it. `assert` in a transaction makes sure that it still has. */
  async lock(name: string): Promise<boolean> {
    return checked(Type.Object({ locked: Type.Boolean() }), await this.#rpc.call('lock', [name])).locked;
  }

  async unlock(name: string): Promise<void> {
    await this.#rpc.call('unlock', [name]);
  }

  close(): void {
    this.#rpc.close();
  }
}

/** A set, as the protocol writes it. */
export const setOf = (...values: readonly Value[]): Value => ['set', values];
export const mapOf = (entries: Readonly<Record<string, string>>): Value => ['map', Object.entries(entries)];
/** A row that this transaction inserts under a name. */
export const named = (name: string): Value => ['named-uuid', name];
export const uuid = (id: string): Value => ['uuid', id];
