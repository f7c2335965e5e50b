/**
 * Fabric to deployment steps. Pure and total: the same topology and capabilities give the same plan.
 *
 * Every node is a network namespace. A link without impairments is one veth pair. An impaired link is
 * two pairs that meet in the lab's "wires" namespace, where HTB shapes and netem (or delayline) delays:
 * the link behaves like a cable that its ends cannot reach into, and their own qdiscs stay theirs.
 */
import { join } from 'node:path';
import { isImpaired, type EndpointRef, type Fabric, type LabNode, type Link } from '../topology/model.ts';
import type { DeployPlan, Stage, Step, StepHost } from '../rig/steps.ts';
import type { FabricCapabilities } from './capabilities.ts';
import { needsDelayLine, shapingLines } from './shaping.ts';

/** The switch inside a node of kind bridge or ovs-bridge. */
export const SWITCH_DEVICE = 'br0';

export interface PlanInput {
  readonly lab: string;
  readonly fabric: Fabric;
  readonly capabilities: FabricCapabilities;
  readonly stateDir: string;
  readonly namespaceOf: (node: string) => string;
  readonly wiresNamespace: string;
  readonly nativeDir: string;
}

export function planDeployment(input: PlanInput): DeployPlan {
  const stages: Stage[] = [
    namespacesAndCables(input),
    { title: 'addresses and bridges', chains: input.fabric.nodes.map((node) => [...sysctlSteps(node), configureNode(node), ...offloadSteps(input, node)]) },
    { title: 'Open vSwitch', chains: input.fabric.nodes.filter((n) => n.kind === 'ovs-bridge').map((node) => startOvs(input, node)) },
    { title: 'link emulation', chains: [wireSteps(input)] },
    { title: 'node commands', chains: input.fabric.nodes.map((node) => node.exec.map((argv) => ({ title: 'exec of the topology', host: onNode(node), argv }))) },
  ];
  return {
    lab: input.lab, stateDir: input.stateDir, nativeDir: input.nativeDir,
    stages: stages.map((s) => ({ ...s, chains: s.chains.filter((c) => c.length > 0) })).filter((s) => s.chains.length > 0),
  };
}

const onNode = (node: LabNode) => ({ on: 'node', node: node.name }) as const;
const batch = (lines: readonly string[]): string => lines.map((line) => `${line}\n`).join('');
const wired = (link: Link): boolean => link.impairments.some(isImpaired);
/** Ends of link number `index` in the wires namespace. */
export const wireDevices = (index: number): [string, string] => [`l${index}a`, `l${index}b`];
export const ovsDir = (stateDir: string, node: string): string => join(stateDir, `${node}.ovs`);

function namespacesAndCables({ fabric, namespaceOf, wiresNamespace }: PlanInput): Stage {
  const namespaces = fabric.nodes.map((n) => namespaceOf(n.name));
  if (fabric.links.some(wired)) namespaces.push(wiresNamespace);
  const end = (node: string, name: string): string => {
    const itf = fabric.nodes.find((n) => n.name === node)?.interfaces.find((i) => i.name === name);
    return `name ${name} netns ${namespaceOf(node)} address ${itf?.mac} mtu ${itf?.mtu}`;
  };
  const cables = fabric.links.flatMap((link, i) => {
    const [a, b] = link.ends;
    const [wa, wb] = wireDevices(i);
    if (!wired(link)) return [`link add ${end(a.node, a.interface)} type veth peer ${end(b.node, b.interface)}`];
    const wire = (device: string) => `name ${device} netns ${wiresNamespace} mtu ${link.mtu}`;
    return [`link add ${end(a.node, a.interface)} type veth peer ${wire(wa)}`, `link add ${end(b.node, b.interface)} type veth peer ${wire(wb)}`];
  });
  const step: Step = {
    title: 'namespaces and cables', host: { on: 'machine' }, argv: ['ip', '-batch', '-'],
    stdin: batch([...namespaces.map((name) => `netns add ${name}`), ...cables]), namespaces,
  };
  return { title: 'namespaces and cables', chains: [[step]] };
}

/** The device at the other end of an interface's cable, and where it is: in the lab's wires if the link is emulated. */
export function farEnd({ links }: Fabric, near: EndpointRef): { host: StepHost; device: string } | undefined {
  for (const [i, link] of links.entries()) {
    const side = link.ends.findIndex((e) => e.node === near.node && e.interface === near.interface);
    if (side < 0) continue;
    const other = link.ends[1 - side] as EndpointRef;
    return wired(link) ? { host: { on: 'wires' }, device: wireDevices(i)[side] as string } : { host: { on: 'node', node: other.node }, device: other.interface };
  }
  return undefined;
}

function sysctlSteps(node: LabNode): Step[] {
  const settings = Object.entries(node.sysctls).map(([key, value]) => `${key}=${value}`);
  return settings.length === 0 ? [] : [{ title: 'sysctls', host: onNode(node), argv: ['sysctl', '-q', '-w', ...settings] }];
}

function configureNode(node: LabNode): Step {
  const lines = ['link set dev lo up'];
  if (node.kind === 'bridge') lines.push(`link add name ${SWITCH_DEVICE} type bridge stp_state 0 forward_delay 0 mcast_snooping 0`);
  for (const itf of node.interfaces) {
    // A port has no business with IPv6 of its own: its router solicitations would be noise in every capture.
    if (itf.port) lines.push(`link set dev ${itf.name} addrgenmode none`);
    if (itf.port && node.kind === 'bridge') lines.push(`link set dev ${itf.name} master ${SWITCH_DEVICE}`);
    for (const address of itf.addresses) lines.push(`addr add ${address} dev ${itf.name}`);
    lines.push(`link set dev ${itf.name} up`);
  }
  if (node.kind === 'bridge') lines.push(`link set dev ${SWITCH_DEVICE} addrgenmode none`, `link set dev ${SWITCH_DEVICE} up`);
  return { title: 'interfaces', host: onNode(node), argv: ['ip', '-batch', '-'], stdin: batch(lines) };
}

/**
 * Real frames instead of offload promises: without this, userspace Open vSwitch and the delay line would
 * forward wrong checksums, and HTB would shape 64 kB "packets".
 */
function offloadSteps({ fabric }: PlanInput, node: LabNode): Step[] {
  const interfaces = fabric.nodes.flatMap((n) => n.interfaces.map((itf) => ({ ...itf, node: n })));
  const wiredEnds = new Set(fabric.links.filter(wired).flatMap((l) => l.ends.map((e) => `${e.node}:${e.interface}`)));
  // A promise made anywhere in a segment may have to be kept at its other end, behind bridges.
  const real = new Set(interfaces.filter((i) => (i.port && i.node.kind === 'ovs-bridge') || wiredEnds.has(`${i.node.name}:${i.name}`)).map((i) => i.segment));
  return node.interfaces
    .filter((itf) => !itf.port && real.has(itf.segment))
    .map((itf) => ({ title: 'checksums and segmentation in software', host: onNode(node), argv: ['ethtool', '-K', itf.name, 'tx', 'off'] }));
}

/** An Open vSwitch of the node's own: an instance that runs on the machine already is never touched. */
function startOvs({ capabilities, stateDir }: PlanInput, node: LabNode): Step[] {
  const dir = ovsDir(stateDir, node.name);
  const host = onNode(node);
  const env = { OVS_RUNDIR: dir, OVS_LOGDIR: dir, OVS_DBDIR: dir };
  const db = `unix:${dir}/db.sock`;
  const daemon = (name: string) => [`--pidfile=${dir}/${name}.pid`, `--log-file=${dir}/${name}.log`, '--detach', '--no-chdir', '-vconsole:off'];
  const datapath = capabilities.ovsKernel ? 'system' : 'netdev';
  const ports = node.interfaces.filter((i) => i.port).flatMap((i) => ['--', 'add-port', SWITCH_DEVICE, i.name]);
  return [
    { title: 'folder', host, argv: ['mkdir', '-p', dir] },
    { title: 'database', host, env, argv: ['ovsdb-tool', 'create', `${dir}/conf.db`, '/usr/share/openvswitch/vswitch.ovsschema'] },
    { title: 'ovsdb-server', host, env, argv: ['ovsdb-server', `${dir}/conf.db`, `--remote=p${db}`, ...daemon('ovsdb-server')] },
    {
      title: 'settings, bridge and ports', host, env,
      argv: ['ovs-vsctl', `--db=${db}`, '--no-wait', 'init', '--', 'set', 'Open_vSwitch', '.', 'other_config:n-handler-threads=1', 'other_config:n-revalidator-threads=1',
        '--', 'add-br', SWITCH_DEVICE, '--', 'set', 'Bridge', SWITCH_DEVICE, `datapath_type=${datapath}`, 'fail_mode=standalone', ...ports],
    },
    // Started last, so that it comes up with its bridge configured; --detach returns once it is.
    { title: 'ovs-vswitchd', host, env, argv: ['ovs-vswitchd', db, ...daemon('ovs-vswitchd')] },
  ];
}

function wireSteps({ fabric, capabilities, nativeDir }: PlanInput): Step[] {
  const ups: string[] = [];
  const tc: string[] = [];
  const delays: string[] = [];
  fabric.links.forEach((link, i) => {
    if (!wired(link)) return;
    const [a, b] = wireDevices(i);
    for (const device of [a, b]) ups.push(`link set dev ${device} addrgenmode none`, `link set dev ${device} up`);
    for (const [from, to, impairment] of [[a, b, link.impairments[0]], [b, a, link.impairments[1]]] as const) {
      const byHand = needsDelayLine(impairment, capabilities.netem);
      tc.push(...shapingLines(to, impairment, !byHand));
      if (byHand) {
        delays.push(`${from} ${to} ${impairment.delayUs} ${impairment.jitterUs} ${Math.round(impairment.loss * 1e6)}`);
      } else {
        tc.push(`qdisc add dev ${from} handle ffff: ingress`, `filter add dev ${from} parent ffff: protocol all prio 1 u32 match u32 0 0 action mirred egress redirect dev ${to}`);
      }
    }
  });
  if (ups.length === 0) return [];
  const host = { on: 'wires' } as const;
  const steps: Step[] = [
    { title: 'wires up', host, argv: ['ip', '-batch', '-'], stdin: batch(ups) },
    { title: 'HTB and forwarding', host, argv: ['tc', '-batch', '-'], stdin: batch(tc) },
  ];
  if (delays.length > 0) {
    steps.push({ title: 'delay line', host, argv: [join(nativeDir, 'delayline')], stdin: batch(delays) });
  }
  return steps;
}
