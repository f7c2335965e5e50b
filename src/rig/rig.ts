/** A deployed lab: the hosts of its nodes, on this machine. */
import { join } from 'node:path';
import type { Host } from './host.ts';
import { LocalHost } from './local.ts';
import { hostName, type StepHost } from './steps.ts';

export const NETNS_DIR = '/run/netns';

/** Blanks and dots cannot be in lab or node names, so these never collide. */
export const namespaceOf = (lab: string, node: string): string => `nr.${lab}.${node}`;
export const wiresNamespace = (lab: string): string => `nr.${lab}.+wires`;

export class Rig {
  readonly lab: string;
  readonly #hosts = new Map<string, Host>();

  constructor(lab: string) {
    this.lab = lab;
  }

  static machine(lab: string | null = null): Host {
    return new LocalHost({ label: 'this machine', lab });
  }

  host(at: StepHost): Host {
    const key = `${at.on}/${hostName(at)}`;
    let host = this.#hosts.get(key);
    if (!host) {
      host = at.on === 'machine'
        ? Rig.machine(this.lab)
        : new LocalHost({ label: `${hostName(at)} of lab ${this.lab}`, lab: this.lab, netns: at.on === 'node' ? namespaceOf(this.lab, at.node) : wiresNamespace(this.lab) });
      this.#hosts.set(key, host);
    }
    return host;
  }

  node(name: string): Host {
    return this.host({ on: 'node', node: name });
  }

  static netnsPath(lab: string, node: string): string {
    return join(NETNS_DIR, namespaceOf(lab, node));
  }
}
