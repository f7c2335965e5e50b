/** A deployed lab: its machines, and the hosts of its nodes on them. */
import { join } from 'node:path';
import type { Host } from '../hosts/host.ts';
import type { Machine } from '../machines/machine.ts';
import { containerOf, LAB_ENV, namespaceOf, NETNS_DIR, linksNamespace } from '../labs/names.ts';
import { askedClocks, type ClockSource } from '../machines/offset.ts';
import { ScopedHost } from '../hosts/scoped.ts';
import { assignmentOf, type Assignments } from '../labs/assignment.ts';
import { hostName, type StepHost } from '../labs/steps.ts';

const enter = (netns: string) => ({ prefix: ['ip', 'netns', 'exec', netns] });

export class DeployedLab {
  readonly lab: string;
  readonly machines: ReadonlyMap<string, Machine>;
  readonly assignments: Assignments;
  readonly clocks: ClockSource;
  readonly #places = new Map<string, Host>();

  constructor(lab: string, machines: ReadonlyMap<string, Machine>, assignments: Assignments, clocks: ClockSource = askedClocks) {
    this.lab = lab;
    this.machines = machines;
    this.assignments = assignments;
    this.clocks = clocks;
  }

  machine(name: string): Machine {
    const machine = this.machines.get(name);
    if (!machine) throw new Error(`no machine "${name}" in this rig`);
    return machine;
  }

  /** The machine that carries a node. */
  carrier(node: string): Machine {
    return this.machine(assignmentOf(this.assignments, node).machine);
  }

  /** Where a node's programs run. */
  node(node: string): Host {
    if (!assignmentOf(this.assignments, node).container) return this.network(node);
    return this.#place(`container/${node}`, `${node} of lab ${this.lab}`, this.carrier(node), { container: containerOf(this.lab, node) });
  }

  /** A node's network alone, with the files and programs of its machine. */
  network(node: string): Host {
    return this.#place(`network/${node}`, `${node} of lab ${this.lab}`, this.carrier(node), enter(namespaceOf(this.lab, node)));
  }

  host(at: StepHost): Host {
    switch (at.on) {
      case 'machine':
        return this.#place(`machine/${at.machine}`, hostName(at), this.machine(at.machine), {});
      case 'links':
        return this.#place(`links/${at.machine}`, hostName(at), this.machine(at.machine), enter(linksNamespace(this.lab)));
      case 'node':
        return this.network(at.node);
    }
  }

  #place(key: string, label: string, machine: Machine, way: { prefix?: readonly string[]; container?: string }): Host {
    let place = this.#places.get(key);
    if (!place) {
      place = new ScopedHost(machine, { label, env: { [LAB_ENV]: this.lab }, ...way });
      this.#places.set(key, place);
    }
    return place;
  }

  /** Command words that run a bundled script in a node. */
  async script(node: string, bundle: string): Promise<[node: string, script: string]> {
    const carrier = this.carrier(node);
    return [carrier.runtime.node, await carrier.install(bundle)];
  }

  netnsPath(node: string): string {
    return join(NETNS_DIR, namespaceOf(this.lab, node));
  }
}
