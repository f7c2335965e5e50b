/**
 * OVN (Debian: ovn-central, ovn-host) on the switches of a lab: its databases and ovn-northd on one node, an ovn-controller on each host, a
 * router between one logical switch and many others.
 */
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { macText } from '../agents/lib/mac.ts';
import { until } from '../src/core/until.ts';
import { SWITCH_DEVICE } from '../src/core/devices.ts';
import { ovsDir } from '../src/fabric/plan.ts';
import type { DeployedLab } from '../src/rig/deployment/deployed-lab.ts';
import type { Lab } from '../src/topology/model.ts';
import { isThere } from './measure.ts';

const SOUTH_PORT = 6642;
const UNDERLAY = 'underlay';
const SCHEMAS = { nb: '/usr/share/ovn/ovn-nb.ovsschema', sb: '/usr/share/ovn/ovn-sb.ovsschema' } as const;
/** Of one command: words have a limit. */
const NETWORKS_AT_ONCE = 100;
const STOP_MS = 5000;

export const hasOvn = (): boolean => isThere('ovn-nbctl', ['--version'], 'apt install ovn-central ovn-host');

/** A port of the first network. Where it is on several hosts it may move. */
export interface OvnPort {
  readonly name: string;
  readonly mac: string;
  readonly address: string;
  readonly hosts: readonly string[];
}

export interface OvnSetUp {
  readonly central: string;
  readonly hosts: readonly string[];
  readonly network: string;
  readonly ports: readonly OvnPort[];
  /** Others that the router joins to the first one; each has one port, on no host. */
  readonly peers: number;
}

interface Uplink {
  readonly device: string;
  readonly cidr: string;
  readonly mac: string;
}

export class Ovn {
  readonly #deployed: DeployedLab;
  readonly #lab: Lab;
  readonly #setUp: OvnSetUp;
  readonly #dir = mkdtempSync(join(tmpdir(), 'netrig-ovn-'));

  private constructor(deployed: DeployedLab, lab: Lab, setUp: OvnSetUp) {
    this.#deployed = deployed;
    this.#lab = lab;
    this.#setUp = setUp;
  }

  /** Resolves when all hosts have what there is. */
  static async start(deployed: DeployedLab, lab: Lab, setUp: OvnSetUp): Promise<Ovn> {
    const self = new Ovn(deployed, lab, setUp);
    await self.#startCentral();
    for (const host of setUp.hosts) await self.#startHost(host);
    await self.#declare();
    await self.#nbctl('--wait=hv', 'sync');
    return self;
  }

  /** A port is on this host from now on. Resolves when OVN says that all hosts follow. */
  async move(port: string, host: string): Promise<void> {
    await this.#nbctl('--wait=hv', 'lsp-set-options', port, `requested-chassis=${host}`);
  }

  async stop(): Promise<void> {
    for (const name of [...this.#setUp.hosts, 'northd', 'nb', 'sb']) {
      const file = this.#pidFile(name);
      if (!existsSync(file)) continue;
      process.kill(Number(readFileSync(file, 'utf8')), 'SIGTERM');
      await until(() => !existsSync(file), { withinMs: STOP_MS });
    }
    rmSync(this.#dir, { recursive: true });
  }

  async #startCentral(): Promise<void> {
    const { central } = this.#setUp;
    for (const [name, schema] of Object.entries(SCHEMAS)) {
      const database = `${this.#dir}/${name}.db`;
      await this.#exec(central, 'ovsdb-tool', 'create', database, schema);
      const remotes = [
        `--remote=punix:${this.#dir}/${name}.sock`,
        ...(name === 'sb' ? [`--remote=ptcp:${SOUTH_PORT}:${this.#uplink(central).cidr.split('/')[0]}`] : []),
      ];
      await this.#exec(central, 'env', `OVS_RUNDIR=${this.#dir}`, 'ovsdb-server', database, ...remotes, ...this.#daemon(name));
    }
    await this.#exec(
      central,
      'env',
      `OVN_RUNDIR=${this.#dir}`,
      'ovn-northd',
      `--ovnnb-db=unix:${this.#dir}/nb.sock`,
      `--ovnsb-db=unix:${this.#dir}/sb.sock`,
      ...this.#daemon('northd'),
    );
  }

  /** In user space a tunnel leaves by a bridge only, which then has the uplink and its address. */
  async #startHost(host: string): Promise<void> {
    const { central, ports } = this.#setUp;
    const { device, cidr, mac } = this.#uplink(host);
    const bridge = ['datapath_type=netdev', `other-config:hwaddr="${mac}"`, 'fail_mode=standalone'];
    await this.#vsctl(host, 'add-br', UNDERLAY, '--', 'set', 'Bridge', UNDERLAY, ...bridge, '--', 'add-port', UNDERLAY, device);
    await this.#exec(host, 'ip', 'address', 'flush', 'dev', device);
    await this.#exec(host, 'ip', 'address', 'replace', cidr, 'dev', UNDERLAY);
    await this.#exec(host, 'ip', 'link', 'set', 'dev', UNDERLAY, 'up');
    const settings = {
      'system-id': host,
      'ovn-remote': `tcp:${this.#uplink(central).cidr.split('/')[0]}:${SOUTH_PORT}`,
      'ovn-encap-type': 'geneve',
      'ovn-encap-ip': cidr.split('/')[0],
      'ovn-bridge': SWITCH_DEVICE,
      'ovn-bridge-datapath-type': 'netdev',
    };
    await this.#vsctl(
      host,
      'set',
      'Open_vSwitch',
      '.',
      ...Object.entries(settings).map(([key, value]) => `external_ids:${key}="${value}"`),
    );
    for (const { name, hosts } of ports)
      if (hosts.includes(host)) await this.#vsctl(host, 'set', 'Interface', name, `external_ids:iface-id=${name}`);
    const dir = this.#ovsDir(host);
    const environment = [`OVS_RUNDIR=${dir}`, `OVN_RUNDIR=${this.#dir}`];
    await this.#exec(host, 'env', ...environment, 'ovn-controller', `unix:${dir}/db.sock`, ...this.#daemon(host));
  }

  async #declare(): Promise<void> {
    const { network, ports, peers } = this.#setUp;
    const joined = (name: string, number: number, address: string): string[][] => [
      ['ls-add', name],
      ['lrp-add', 'router', `router-${name}`, macOf(number), address],
      ['lsp-add', name, `${name}-router`],
      ['lsp-set-type', `${name}-router`, 'router'],
      ['lsp-set-addresses', `${name}-router`, 'router'],
      ['lsp-set-options', `${name}-router`, `router-port=router-${name}`],
    ];
    await this.#nbctl(...joinWords([['lr-add', 'router'], ...joined(network, 0, '10.1.255.254/16')]));
    for (const { name, mac, address, hosts } of ports)
      await this.#nbctl(
        ...joinWords([
          ['lsp-add', network, name],
          ['lsp-set-addresses', name, `${mac} ${address}`],
          ['lsp-set-options', name, `requested-chassis=${hosts[0]}`],
        ]),
      );
    for (let first = 1; first <= peers; first += NETWORKS_AT_ONCE) {
      const numbers = Array.from({ length: Math.min(NETWORKS_AT_ONCE, peers - first + 1) }, (_, i) => first + i);
      const words = numbers.flatMap((n) => {
        const base = `10.${128 + (n >> 12)}.${(n >> 4) & 255}`;
        const at = (n & 15) << 4;
        return [
          ...joined(`x${n}`, n, `${base}.${at + 14}/28`),
          ['lsp-add', `x${n}`, `x${n}-port`],
          ['lsp-set-addresses', `x${n}-port`, `${macOf(n, 1)} ${base}.${at + 1}`],
        ];
      });
      await this.#nbctl(...joinWords(words));
    }
  }

  #uplink(node: string): Uplink {
    const own = this.#lab.fabric.nodes.find((n) => n.name === node)!.interfaces.find((i) => i.addresses.length > 0)!;
    return { device: own.name, cidr: own.addresses[0]!, mac: own.mac };
  }

  #daemon(name: string): string[] {
    return ['--detach', '--no-chdir', `--pidfile=${this.#pidFile(name)}`, `--log-file=${this.#dir}/${name}.log`];
  }

  #pidFile(name: string): string {
    return `${this.#dir}/${name}.pid`;
  }

  #ovsDir(host: string): string {
    return ovsDir(this.#deployed.carrier(host).runtime.stateRoot, this.#lab.name, host);
  }

  #vsctl(host: string, ...words: readonly string[]): Promise<string> {
    return this.#exec(host, 'ovs-vsctl', `--db=unix:${this.#ovsDir(host)}/db.sock`, ...words);
  }

  #nbctl(...words: readonly string[]): Promise<string> {
    return this.#exec(this.#setUp.central, 'ovn-nbctl', `--db=unix:${this.#dir}/nb.sock`, ...words);
  }

  async #exec(node: string, ...argv: readonly string[]): Promise<string> {
    return (await this.#deployed.node(node).exec(argv, { timeoutMs: 600_000 })).stdout;
  }
}

const joinWords = (commands: readonly (readonly string[])[]): string[] => commands.flatMap((c, i) => (i === 0 ? c : ['--', ...c]));

const macOf = (number: number, last = 0): string => macText(Buffer.from([2, 0x6f, number >> 16, number >> 8, number, last]), 0);
