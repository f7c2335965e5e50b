/** Two servers with a VM of tenant A each, held to half of a 20 Mbit/s uplink; what a test needs beside is added. */
interface Parts {
  readonly name: string;
  readonly crash?: 'void' | 'restart';
  /** Lines of YAML, without indentation. */
  readonly nodes?: readonly string[];
  readonly links?: readonly string[];
  readonly traffic: readonly string[];
  readonly targets: readonly string[];
}

const lines = (indent: string, list: readonly string[]): string => list.map((line) => `${indent}${line}\n`).join('');

export const twoServers = ({ name, crash = 'void', nodes = [], links = [], traffic, targets }: Parts): string => `
name: ${name}
saturation: 100%
topology:
  nodes:
    s0: { kind: ovs-bridge, interfaces: { prov: { address: auto } } }
    s1: { kind: ovs-bridge, interfaces: { prov: { address: auto } } }
    core: { kind: bridge }
    provider: { kind: bridge }
    a0: { labels: { tenant: A } }
    a1: { labels: { tenant: A } }
${lines('    ', nodes)}  links:
    - { endpoints: ["s0:up", "core:s0"], rate: 20Mbit }
    - { endpoints: ["s1:up", "core:s1"], rate: 20Mbit }
    - { endpoints: ["s0:prov", "provider:s0"] }
    - { endpoints: ["s1:prov", "provider:s1"] }
    - { endpoints: ["a0:e", "s0:a0"] }
    - { endpoints: ["a1:e", "s1:a1"] }
${lines('    - ', links)}systems:
  gatekeeper:
    on: [s0, s1]
    crash: ${crash}
    config: { uplink: up, network: prov, contracts: { A: { min: 50%, max: 50% } }, limiter-timeout: 300ms, counter-timeout: 1s }
traffic:
${lines('  - ', traffic)}targets:
${lines('  - ', targets)}`;
