/** Local placement groups: hosts of one cell under one policy, for one account and those it shares them with (R0-27, R0-29). */
import type { AgentConfig } from '../config.ts';
import { refuse, type Params } from './operations.ts';
import { limitsOf, type Policy } from './svg.ts';

interface Group {
  readonly cell: string;
  readonly policy: Policy;
  readonly owner: string;
  readonly shared: readonly string[];
  /** Virtual network by node. */
  readonly members: Readonly<Record<string, string>>;
}

/** What survives the process that holds the groups. */
export type SavedGroups = readonly (readonly [name: string, group: Group])[];

export class PlacementGroups {
  readonly #nodes: AgentConfig['nodes'];
  readonly #groups = new Map<string, Group>();

  constructor(nodes: AgentConfig['nodes']) {
    this.#nodes = nodes;
  }

  save(): SavedGroups {
    return [...this.#groups];
  }

  restore(saved: SavedGroups): void {
    for (const [name, group] of saved) this.#groups.set(name, group);
  }

  create({ lpg, cell, account, ...limits }: Params<'CreateLPGAndPolicy'>) {
    if (this.#groups.has(lpg)) refuse('AlreadyExists', `a placement group "${lpg}" exists`);
    if (!this.#nodes.some((n) => n.cell === cell)) refuse('UnknownNode', `no host is in cell "${cell}"`);
    const policy = limitsOf(limits);
    this.#groups.set(lpg, { cell, policy, owner: account, shared: [], members: {} });
    return { lpg, cell, policy };
  }

  share({ lpg, account, with: other }: Params<'ShareLPG'>) {
    const group = this.#find(lpg);
    if (group.owner !== account) refuse('NotShared', `"${lpg}" belongs to another account`);
    const shared = [...new Set([...group.shared, other])];
    this.#groups.set(lpg, { ...group, shared });
    return { lpg, shared };
  }

  launch({ lpg, account, vpc, nodes }: Params<'LaunchVMsOfVPCInLPG'>) {
    const group = this.usable(lpg, account);
    for (const name of nodes) {
      const node = this.#nodes.find((n) => n.name === name) ?? refuse('UnknownNode', `no node "${name}"`);
      if (node.cell !== group.cell) refuse('NoCapacity', `${name} is in cell ${node.cell ?? 'unknown'}, the group in ${group.cell}`);
    }
    const members = { ...group.members, ...Object.fromEntries(nodes.map((name) => [name, vpc])) };
    this.#groups.set(lpg, { ...group, members });
    return { lpg, members };
  }

  /** The group, if the account may use it. */
  usable(lpg: string, account: string): Group {
    const group = this.#find(lpg);
    if (group.owner !== account && !group.shared.includes(account)) refuse('NotShared', `"${lpg}" is not shared with account "${account}"`);
    return group;
  }

  #find(name: string): Group {
    const known = [...this.#groups.keys()].join(', ') || 'none';
    return this.#groups.get(name) ?? refuse('UnknownLPG', `no placement group "${name}"; there are: ${known}`);
  }
}
