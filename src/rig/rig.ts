/** A deployed lab: its machines, and the hosts of its nodes on them. */
import { join } from 'node:path';
import type { Host } from './host.ts';
import type { Machine } from './machine.ts';
import { containerOf, LAB_ENV, namespaceOf, NETNS_DIR, wiresNamespace } from './names.ts';
import { askedClocks, type ClockSource } from './offset.ts';
import { Place } from './place.ts';
import { seatOf, type Seats } from './seats.ts';
import { hostName, type StepHost } from './steps.ts';

const enter = (netns: string) => ({ prefix: ['ip', 'netns', 'exec', netns] });

export class Rig {
  readonly lab: string;
  readonly machines: ReadonlyMap<string, Machine>;
  readonly seats: Seats;
  readonly clocks: ClockSource;
  readonly #places = new Map<string, Host>();

  constructor(lab: string, machines: ReadonlyMap<string, Machine>, seats: Seats, clocks: ClockSource = askedClocks) {
    this.lab = lab;
    this.machines = machines;
    this.seats = seats;
    this.clocks = clocks;
  }

  machine(name: string): Machine {
    const machine = this.machines.get(name);
    if (!machine) throw new Error(`no machine "${name}" in this rig`);
    return machine;
  }

  /** The machine that carries a node. */
  carrier(node: string): Machine {
    return this.machine(seatOf(this.seats, node).machine);
  }

  /** Where a node's programs run. */
  node(node: string): Host {
    if (!seatOf(this.seats, node).container) return this.network(node);
    return this.#place(`container/${node}`, `${node} of lab ${this.lab}`, this.carrier(node), { container: containerOf(this.lab, node) });
  }

  /** A node's network alone, with the files and programs of its machine. */
  network(node: string): Host {
    return this.#place(`network/${node}`, `${node} of lab ${this.lab}`, this.carrier(node), enter(namespaceOf(this.lab, node)));
  }

  host(at: StepHost): Host {
    switch (at.on) {
      case 'machine': return this.#place(`machine/${at.machine}`, hostName(at), this.machine(at.machine), {});
      case 'wires': return this.#place(`wires/${at.machine}`, hostName(at), this.machine(at.machine), enter(wiresNamespace(this.lab)));
      case 'node': return this.network(at.node);
    }
  }

  #place(key: string, label: string, machine: Machine, way: { prefix?: readonly string[]; container?: string }): Host {
    let place = this.#places.get(key);
    if (!place) {
      place = new Place(machine, { label, env: { [LAB_ENV]: this.lab }, ...way });
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
