/** A client of etcd (3.4): rows under keys, changes in one transaction, and who may read what. Over gRPC, both ends with certificates. */
import { Client, credentials, status, type ServiceError } from '@grpc/grpc-js';
import { randomInt } from 'node:crypto';
import type { Credentials } from '../certificates.ts';
import { keepLease } from './lease.ts';
import { codec, type Header, type KeyValue } from './messages.ts';
import { WatchStream, type WatchEvents, type Watching } from './watch.ts';

const DEADLINE_MS = 30_000;
/** A change of rights while a request is under way: it is asked again, as etcd demands. */
const RIGHTS_CHANGED = 'revision of auth store is old';
const MOST_TRIES = 20;
/** Of one request. */
const MOST_RANGES = 200;
/** Identifiers of leases are the client's choice: of so many that no two clients choose one. */
const MOST_LEASES = 2 ** 47;

const OPTIONS = {
  // The server is beside, or it is gone: a lab does not wait for minutes.
  'grpc.initial_reconnect_backoff_ms': 100,
  'grpc.max_reconnect_backoff_ms': 500,
  'grpc.keepalive_time_ms': 5000,
  'grpc.keepalive_timeout_ms': 5000,
  'grpc.max_receive_message_length': 64 << 20,
  'grpc.use_local_subchannel_pool': 1,
} as const;

export interface EtcdPlace {
  readonly name: string;
  readonly address: string;
  readonly port: number;
}

export interface Row {
  readonly key: string;
  readonly value: string;
  /** Of the whole store, when this was written. */
  readonly revision: number;
}

export interface Rows {
  readonly rows: readonly Row[];
  /** What they are the state of. */
  readonly revision: number;
}

/** A key, or all that begin with it. */
export interface Range {
  readonly key: string;
  readonly isPrefix: boolean;
}

export const under = (key: string): Range => ({ key, isPrefix: true });
export const just = (key: string): Range => ({ key, isPrefix: false });

/** What a transaction writes and removes. `lease`: what is written goes with it. */
export interface Change {
  readonly put: ReadonlyMap<string, string>;
  readonly remove: Iterable<string>;
  readonly lease?: number;
}

/** The server lets this user not do that. */
export class DeniedError extends Error {}

const METHODS = {
  range: ['KV/Range', 'RangeRequest', 'RangeResponse'],
  txn: ['KV/Txn', 'TxnRequest', 'TxnResponse'],
  leaseGrant: ['Lease/LeaseGrant', 'LeaseGrantRequest', 'Response'],
  authEnable: ['Auth/AuthEnable', 'Empty', 'Response'],
  userAdd: ['Auth/UserAdd', 'UserAddRequest', 'Response'],
  userGrant: ['Auth/UserGrantRole', 'UserRoleRequest', 'Response'],
  userRevoke: ['Auth/UserRevokeRole', 'UserRoleRequest', 'Response'],
  roleAdd: ['Auth/RoleAdd', 'RoleRequest', 'Response'],
  roleGrant: ['Auth/RoleGrantPermission', 'RoleGrantRequest', 'Response'],
  roleRevoke: ['Auth/RoleRevokePermission', 'RoleRevokeRequest', 'Response'],
} as const;
type Method = keyof typeof METHODS;

const CODECS = new Map(
  Object.entries(METHODS).map(([name, [path, asked, answered]]) => [
    name as Method,
    { path: `/etcdserverpb.${path}`, request: codec(asked), response: codec(answered) },
  ]),
);

/** As requests have it. The end of a prefix is the first key that does not begin with it; a key alone has none, not an empty one. */
export function rangeFields({ key, isPrefix }: Range): { readonly key: Buffer; readonly rangeEnd?: Buffer } {
  const own = Buffer.from(key);
  if (!isPrefix) return { key: own };
  const end = Buffer.from(own);
  end[end.length - 1] = (end[end.length - 1] as number) + 1;
  return { key: own, rangeEnd: end };
}

export const rowOf = ({ key, value, modRevision }: KeyValue): Row => ({
  key: key.toString(),
  value: value.toString(),
  revision: modRevision,
});

const PERMISSIONS = { read: 0, write: 1 } as const;

export interface Permission {
  readonly what: keyof typeof PERMISSIONS;
  readonly range: Range;
}

export interface Lease {
  readonly id: number;
  /** Rejects where it has ended. */
  keep(): Promise<void>;
}

/** What agents ask of an etcd. */
export interface Etcd {
  list(range: Range): Promise<Rows>;
  /** All of it or nothing. The revision that it made. */
  commit(change: Change): Promise<number>;
  /** Its changes; one stream carries all that a client watches. */
  readonly watches: {
    watch(range: Range, from: number, events: WatchEvents): Watching;
    /** Since when the server is not heard (performance.now); null: it is. */
    readonly lostAtMs: number | null;
  };
  /** A lease that ends where it is not kept for so long, with all that was written under it. */
  lease(ttlS: number): Promise<Lease>;
  /** A user who is known by the name in its certificate. */
  addUser(name: string): Promise<void>;
  addRole(name: string, may: readonly Permission[]): Promise<void>;
  /** A role may do more, or not any more. */
  permit(role: string, permission: Permission): Promise<void>;
  forbid(role: string, range: Range): Promise<void>;
  grant(user: string, role: string): Promise<void>;
  revoke(user: string, role: string): Promise<void>;
  close(): void;
}

/** A range that somebody waits for. */
interface Asked {
  readonly range: Range;
  readonly resolve: (rows: Rows) => void;
  readonly reject: (why: Error) => void;
}

interface TxnResponse {
  readonly header: Header;
  readonly responses: readonly { readonly responseRange: { readonly kvs: readonly KeyValue[] } }[];
}

export class EtcdClient implements Etcd {
  readonly #client: Client;
  readonly #asked: Asked[] = [];
  #watches: WatchStream | undefined;

  /** `name`: the server's, as its certificate has it: nobody else is taken for it. */
  constructor({ name, address, port }: EtcdPlace, { ca, key, certificate }: Credentials) {
    this.#client = new Client(`${address}:${port}`, credentials.createSsl(ca, key, certificate), {
      ...OPTIONS,
      'grpc.ssl_target_name_override': name,
    });
  }

  /** What is asked for in one turn is read in one request: a host may begin to follow thousands of ranges at once. */
  list(range: Range): Promise<Rows> {
    const asked = Promise.withResolvers<Rows>();
    if (this.#asked.push({ range, ...asked }) === 1) setImmediate(() => this.#ask(this.#asked.splice(0)));
    return asked.promise;
  }

  #ask(all: readonly Asked[]): void {
    for (let at = 0; at < all.length; at += MOST_RANGES) {
      const some = all.slice(at, at + MOST_RANGES);
      this.#listTogether(some).then(
        (found) => some.forEach((asked, i) => asked.resolve(found[i]!)),
        // Whose range it is that this user may not read is not told.
        () => some.forEach((asked) => void this.#listAlone(asked.range).then(asked.resolve, asked.reject)),
      );
    }
  }

  async #listTogether(asked: readonly Asked[]): Promise<Rows[]> {
    if (asked.length === 1) return [await this.#listAlone(asked[0]!.range)];
    const success = asked.map(({ range }) => ({ requestRange: rangeFields(range) }));
    const { header, responses } = (await this.#call('txn', { success })) as TxnResponse;
    return responses.map(({ responseRange: { kvs } }) => ({ rows: kvs.map(rowOf), revision: header.revision }));
  }

  async #listAlone(range: Range): Promise<Rows> {
    const { header, kvs } = (await this.#call('range', rangeFields(range))) as { header: Header; kvs: KeyValue[] };
    return { rows: kvs.map(rowOf), revision: header.revision };
  }

  async commit({ put, remove, lease = 0 }: Change): Promise<number> {
    const { header } = (await this.#call('txn', {
      success: [
        ...[...put].map(([key, value]) => ({ requestPut: { key: Buffer.from(key), value: Buffer.from(value), lease } })),
        ...[...remove].map((key) => ({ requestDeleteRange: { key: Buffer.from(key) } })),
      ],
    })) as { header: Header };
    return header.revision;
  }

  async lease(ttlS: number): Promise<Lease> {
    const id = randomInt(1, MOST_LEASES);
    await this.#call('leaseGrant', { TTL: ttlS, ID: id });
    return { id, keep: () => keepLease(this.#client, id) };
  }

  get watches(): WatchStream {
    return (this.#watches ??= new WatchStream(this.#client));
  }

  async addUser(name: string): Promise<void> {
    await this.#unless('already exists', 'userAdd', { name, options: { noPassword: true } });
  }

  async addRole(name: string, may: readonly Permission[]): Promise<void> {
    await this.#unless('already exists', 'roleAdd', { name });
    for (const permission of may) await this.permit(name, permission);
  }

  async permit(role: string, { what, range }: Permission): Promise<void> {
    await this.#call('roleGrant', { name: role, perm: { permType: PERMISSIONS[what], ...rangeFields(range) } });
  }

  async forbid(role: string, range: Range): Promise<void> {
    await this.#unless('is not granted to', 'roleRevoke', { role, ...rangeFields(range) });
  }

  async grant(user: string, role: string): Promise<void> {
    await this.#call('userGrant', { user, role });
  }

  async revoke(user: string, role: string): Promise<void> {
    await this.#unless('is not granted to', 'userRevoke', { user, role });
  }

  async enableAuth(): Promise<void> {
    await this.#call('authEnable', {});
  }

  close(): void {
    this.#watches?.close();
    this.#client.close();
  }

  /** `done`: what etcd says where it is as it is to be. */
  async #unless(done: string, method: Method, message: object): Promise<void> {
    try {
      await this.#call(method, message);
    } catch (error) {
      if (!(error as Error).message.includes(done)) throw error;
    }
  }

  async #call(method: Method, message: object): Promise<unknown> {
    for (let tries = 1; ; tries++) {
      try {
        return await this.#once(method, message);
      } catch (error) {
        const { code, details, message: what } = error as Partial<ServiceError>;
        if (details?.includes(RIGHTS_CHANGED) && tries < MOST_TRIES) continue;
        if (code === status.PERMISSION_DENIED) throw new DeniedError(`etcd refuses ${method}: ${details}`);
        throw new Error(`etcd: ${method}: ${details ?? what}`, { cause: error });
      }
    }
  }

  #once(method: Method, message: object): Promise<unknown> {
    const { path, request, response } = CODECS.get(method)!;
    return new Promise((resolve, reject) => {
      this.#client.makeUnaryRequest(
        path,
        (m: object) => request.encode(m),
        (b: Buffer) => response.decode(b),
        message,
        { deadline: Date.now() + DEADLINE_MS },
        (error: ServiceError | null, value) => (error ? reject(error) : resolve(value)),
      );
    });
  }
}
