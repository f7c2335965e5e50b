/** Who may read and write what in a controller's etcd: roles that exist, and roles that hosts have. */
import { mapConcurrent } from '../../../src/core/context.ts';
import { under, type Etcd, type Permission, type Range } from '../../lib/etcd/client.ts';
import { OWN_SET, RANGES, ROLES } from '../rows.ts';

/** Requests under way. */
const AT_ONCE = 64;

/** What somebody has, as etcd knows it. */
class Given {
  readonly #given: Map<string, ReadonlySet<string>>;
  readonly #give: (to: string, what: string) => Promise<void>;
  readonly #take: (from: string, what: string) => Promise<void>;

  /** `given`: by a predecessor. */
  constructor(given: ReadonlyMap<string, readonly string[]>, give: (to: string, what: string) => Promise<void>, take: typeof give) {
    this.#given = new Map([...given].map(([who, what]) => [who, new Set(what)]));
    this.#give = give;
    this.#take = take;
  }

  /** Those that have anything. */
  get holders(): string[] {
    return [...this.#given.keys()];
  }

  /** What it has now. */
  of(who: string): ReadonlySet<string> {
    return this.#given.get(who) ?? new Set();
  }

  isOther(who: string, wanted: ReadonlySet<string>): boolean {
    return !isSame(wanted, this.of(who));
  }

  /** These, beside those that it has. */
  async give(who: string, wanted: ReadonlySet<string>): Promise<void> {
    const before = this.of(who);
    await Promise.all([...wanted.difference(before)].map((what) => this.#give(who, what)));
    this.#given.set(who, before.union(wanted));
  }

  /** These, and no others. */
  async keep(who: string, wanted: ReadonlySet<string>): Promise<void> {
    await Promise.all([...this.of(who).difference(wanted)].map((what) => this.#take(who, what)));
    this.#given.set(who, wanted);
  }
}

/** Who has a certificate, by name. */
export interface Members {
  readonly controllers: readonly string[];
  readonly hosts: readonly string[];
  /** Hosts that tell that they are there. */
  readonly gateways: readonly string[];
  /** Endpoints that tell what they learn. */
  readonly routers: readonly { readonly network: string; readonly endpoint: string }[];
}

interface OwnRole {
  readonly user: string;
  readonly role: string;
  readonly may: readonly Permission[];
}

function ownRoles({ controllers, hosts, gateways, routers }: Members): OwnRole[] {
  const reads = (...ranges: readonly Range[]): Permission[] => ranges.map((range) => ({ what: 'read', range }));
  const writes = (...ranges: readonly Range[]): Permission[] => ranges.map((range) => ({ what: 'write', range }));
  return [
    ...controllers.map((name) => ({
      user: name,
      role: ROLES.controller(name),
      may: reads(RANGES.consentsFor(name), RANGES.offersFor(name)),
    })),
    ...hosts.map((name) => ({
      user: name,
      role: ROLES.host(name),
      may: [
        ...reads(RANGES.endpointsOf(name), RANGES.membershipsOf(name), RANGES.admissionsOf(name)),
        ...writes(RANGES.introductionsOf(name), RANGES.appliedOf(name), RANGES.loadsOf(name)),
      ],
    })),
    ...gateways.map((name) => ({ user: name, role: ROLES.gateway(name), may: writes(RANGES.gateway(name)) })),
    ...routers.map(({ network, endpoint }) => ({
      user: endpoint,
      role: ROLES.router(network, endpoint),
      may: writes(RANGES.learnedBy(network, endpoint)),
    })),
  ];
}

export class Rights {
  readonly #client: Etcd;
  readonly #roles = new Set<string>();
  /** Roles of hosts, beside their own. */
  readonly hosts: Given;
  /** By network: keys of sets that its hosts may read once they are let in. One change for all hosts: each costs all of etcd's users. */
  readonly peers: Given;

  /** What a predecessor has given, by host and by network. */
  constructor(client: Etcd, hosts: ReadonlyMap<string, readonly string[]>, peers: ReadonlyMap<string, readonly string[]>) {
    this.#client = client;
    this.hosts = new Given(
      hosts,
      (host, role) => client.grant(host, role),
      (host, role) => client.revoke(host, role),
    );
    this.peers = new Given(
      peers,
      (network, key) => this.#permit(network, key),
      (network, key) => client.forbid(ROLES.peer(network), under(key)),
    );
  }

  async #permit(network: string, key: string): Promise<void> {
    await this.#need(ROLES.peer(network), []);
    await this.#client.permit(ROLES.peer(network), { what: 'read', range: under(key) });
  }

  /**
   * Users and their own roles, which they keep. Roles come first, while there are no users: with every change etcd works out anew what
   * each of its users may do.
   */
  async open(members: Members): Promise<void> {
    const own = ownRoles(members);
    await mapConcurrent(own, AT_ONCE, ({ role, may }) => this.#client.addRole(role, may));
    await mapConcurrent([...new Set(own.map((o) => o.user))], AT_ONCE, (user) => this.#client.addUser(user));
    await mapConcurrent(own, AT_ONCE, ({ user, role }) => this.#client.grant(user, role));
  }

  /** For hosts that carry endpoints of the network. */
  needNetwork(network: string): Promise<void> {
    return this.#need(ROLES.network(network), [
      RANGES.peeringsOf(network),
      RANGES.winnersOf(network),
      RANGES.pool(network),
      RANGES.set(network, OWN_SET),
    ]);
  }

  async #need(role: string, ranges: readonly Range[]): Promise<void> {
    if (this.#roles.has(role)) return;
    await this.#client.addRole(
      role,
      ranges.map((range) => ({ what: 'read', range })),
    );
    this.#roles.add(role);
  }
}

const isSame = (a: ReadonlySet<string>, b: ReadonlySet<string>): boolean => a.size === b.size && [...a].every((x) => b.has(x));
