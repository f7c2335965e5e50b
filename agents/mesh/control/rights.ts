/** Who may read and write what in a controller's etcd: roles that exist, and roles that hosts have. */
import type { Etcd, Permission, Range } from '../../lib/etcd/client.ts';
import { OWN_SET, RANGES, ROLES } from '../rows.ts';

/** Requests under way. */
const AT_ONCE = 64;

export class Rights {
  readonly #client: Etcd;
  readonly #roles = new Set<string>();
  /** By host. */
  readonly #granted: Map<string, ReadonlySet<string>>;

  /** `granted`: by a predecessor. */
  constructor(client: Etcd, granted: ReadonlyMap<string, readonly string[]>) {
    this.#client = client;
    this.#granted = new Map([...granted].map(([host, roles]) => [host, new Set(roles)]));
  }

  /** Those that have roles beside their own. */
  get hosts(): string[] {
    return [...this.#granted.keys()];
  }

  /** Users and their own roles, which they keep. */
  async open(controllers: readonly string[], hosts: readonly string[]): Promise<void> {
    for (const name of controllers)
      await this.#add(name, ROLES.controller(name), [
        { what: 'read', range: RANGES.consentsFor(name) },
        { what: 'read', range: RANGES.offersFor(name) },
      ]);
    for (let at = 0; at < hosts.length; at += AT_ONCE) await Promise.all(hosts.slice(at, at + AT_ONCE).map((name) => this.#addHost(name)));
  }

  #addHost(name: string): Promise<void> {
    return this.#add(name, ROLES.host(name), [
      { what: 'read', range: RANGES.endpointsOf(name) },
      { what: 'read', range: RANGES.membershipsOf(name) },
      { what: 'read', range: RANGES.admissionsOf(name) },
      { what: 'write', range: RANGES.introductionsOf(name) },
      { what: 'write', range: RANGES.appliedOf(name) },
      { what: 'write', range: RANGES.loadsOf(name) },
    ]);
  }

  /** A host that tells that it is there as a gateway. */
  addGateway(name: string): Promise<void> {
    return this.#add(name, ROLES.gateway(name), [{ what: 'write', range: RANGES.gateway(name) }]);
  }

  /** An endpoint that tells what it learns. */
  addRouter(network: string, endpoint: string): Promise<void> {
    return this.#add(endpoint, ROLES.router(network, endpoint), [{ what: 'write', range: RANGES.learnedBy(network, endpoint) }]);
  }

  /** A role of the user's own. The user may be there. */
  async #add(user: string, role: string, may: readonly Permission[]): Promise<void> {
    await this.#client.addUser(user);
    await this.#client.addRole(role, may);
    await this.#client.grant(user, role);
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

  needSet(network: string, set: string): Promise<void> {
    return this.#need(ROLES.set(network, set), [RANGES.set(network, set)]);
  }

  /** Other roles than it has, beside its own. */
  isOther(host: string, roles: ReadonlySet<string>): boolean {
    return !isSame(roles, this.#granted.get(host) ?? new Set());
  }

  /** It has these roles, beside those that it has. */
  async grant(host: string, roles: ReadonlySet<string>): Promise<void> {
    const before = this.#granted.get(host) ?? new Set();
    for (const role of roles) if (!before.has(role)) await this.#client.grant(host, role);
    this.#granted.set(host, before.union(roles));
  }

  /** It has these roles, and no others beside its own. */
  async keep(host: string, roles: ReadonlySet<string>): Promise<void> {
    const before = this.#granted.get(host) ?? new Set();
    for (const role of before) if (!roles.has(role)) await this.#client.revoke(host, role);
    this.#granted.set(host, roles);
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
