/**
 * Fabric to deployment steps. Pure and total: the same topology, assignments and machines give the same plan.
 *
 * Every node has a network namespace. A link without impairments is one veth pair. An impaired link is
 * two pairs that meet in its machine's link-emulation namespace, where HTB shapes and netem (or delayline) delays:
 * the link behaves like a cable that its ends cannot reach into, and their own qdiscs stay theirs.
 * A link between two machines runs over a trunk (trunks.ts); each machine shapes what leaves it.
 */
import { join } from 'node:path';
import { SWITCH_DEVICE } from './devices.ts';
import type { EndpointRef, Fabric, Impairment, Link, LabNode } from '../topology/model.ts';
import { isImpaired } from '../topology/lab.ts';
import { containerOf, namespaceOf, linksNamespace } from '../rig/labs/names.ts';
import { assignmentOf, type Assignments } from '../rig/labs/assignment.ts';
import type { BorrowedNic, ContainerSpec, DeployPlan, Stage, Step, StepHost } from '../rig/labs/steps.ts';
import type { FabricCapabilities } from './capabilities.ts';
import { delayConfig, needsDelayLine, shapingLines } from './shaping.ts';
import type { Trunk } from './trunks.ts';

/** What the plan must know of a machine. */
export interface PlannedMachine {
  /** Image of containers that name none, and folders that they see. */
  readonly containers: { readonly image: string; readonly mounts: readonly string[] };
  readonly capabilities: FabricCapabilities;
  readonly stateRoot: string;
  readonly nativeDir: string;
}

export interface PlanInput {
  readonly lab: string;
  readonly fabric: Fabric;
  readonly assignments: Assignments;
  readonly machines: ReadonlyMap<string, PlannedMachine>;
  /** Of links between machines, by link. */
  readonly trunks: ReadonlyMap<Link, Trunk>;
}

export function planDeployment(input: PlanInput): DeployPlan {
  const { nodes } = input.fabric;
  const stages: Stage[] = [
    {
      title: 'containers',
      chains: nodes.filter((n) => assignmentOf(input.assignments, n.name).container).map((node) => [startContainer(input, node)]),
    },
    { title: 'namespaces and cables', chains: [...input.machines.keys()].map((machine) => [namespacesAndCables(input, machine)]) },
    {
      title: 'addresses and bridges',
      chains: nodes.map((node) => [...sysctlSteps(node), configureNode(node), ...offloadSteps(input, node)]),
    },
    { title: 'Open vSwitch', chains: nodes.filter((n) => n.kind === 'ovs-bridge').map((node) => startOvs(input, node)) },
    { title: 'link emulation', chains: [...input.machines.keys()].map((machine) => emulationSteps(input, machine)) },
    {
      title: 'node commands',
      chains: nodes.map((node) =>
        node.exec.map((argv) => ({
          title: 'exec of the topology',
          host: onNode(node),
          argv,
          ...(assignmentOf(input.assignments, node.name).container ? { inside: containerOf(input.lab, node.name) } : {}),
        })),
      ),
    },
  ];
  return {
    lab: input.lab,
    stages: stages.map((s) => ({ ...s, chains: s.chains.filter((c) => c.length > 0) })).filter((s) => s.chains.length > 0),
  };
}

const onNode = (node: LabNode) => ({ on: 'node', node: node.name }) as const;
const batch = (lines: readonly string[]): string => lines.map((line) => `${line}\n`).join('');
const machineOf = ({ assignments }: Pick<PlanInput, 'assignments'>, end: EndpointRef): string =>
  assignmentOf(assignments, end.node).machine;
/** The link passes a link-emulation namespace: to be shaped, or to change from a node's veth to a trunk. */
const isEmulated = (link: Link, trunk: Trunk | undefined): boolean => trunk !== undefined || link.impairments.some(isImpaired);
/** Ends of link number `index` in the link-emulation namespaces: towards its first end, and towards its second. */
export const emulationDevices = (index: number): [string, string] => [`l${index}a`, `l${index}b`];
const trunkDevice = (index: number): string => `l${index}t`;
/** Where a machine's delay line takes changes. */
export const delaySocket = (stateRoot: string, lab: string): string => join(stateRoot, lab, 'delayline.sock');
export const ovsDir = (stateRoot: string, lab: string, node: string): string => join(stateRoot, lab, `${node}.ovs`);

function namespacesAndCables(input: PlanInput, machine: string): Step {
  const { lab, fabric, assignments, trunks } = input;
  const here = (end: EndpointRef): boolean => machineOf(input, end) === machine;
  const namespaces = fabric.nodes
    .filter((n) => assignmentOf(assignments, n.name).machine === machine && !assignmentOf(assignments, n.name).container)
    .map((n) => namespaceOf(lab, n.name));
  const emulation = linksNamespace(lab);
  const end = (node: string, name: string): string => {
    const itf = fabric.nodes.find((n) => n.name === node)?.interfaces.find((i) => i.name === name);
    return `name ${name} netns ${namespaceOf(lab, node)} address ${itf?.mac} mtu ${itf?.mtu}`;
  };
  const inEmulation = (device: string, mtu: number) => `name ${device} netns ${emulation} mtu ${mtu}`;
  const cables: string[] = [];
  const borrows: BorrowedNic[] = [];
  fabric.links.forEach((link, i) => {
    const trunk = trunks.get(link);
    const [a, b] = link.ends;
    if (!isEmulated(link, trunk)) {
      if (here(a)) cables.push(`link add ${end(a.node, a.interface)} type veth peer ${end(b.node, b.interface)}`);
      return;
    }
    [a, b].forEach((e, side) => {
      if (here(e))
        cables.push(`link add ${end(e.node, e.interface)} type veth peer ${inEmulation(emulationDevices(i)[side] as string, link.mtu)}`);
    });
    const side = here(a) ? 0 : here(b) ? 1 : null;
    if (!trunk || side === null) return;
    if (trunk.kind === 'vxlan') {
      // Made on the machine and moved: its packets leave by the machine's own network (vxlan keeps the namespace of its birth).
      cables.push(
        `link add ${inEmulation(trunkDevice(i), link.mtu)} type vxlan id ${trunk.vni} local ${trunk.addresses[side]} remote ${trunk.addresses[side === 0 ? 1 : 0]} dstport ${trunk.port} nolearning`,
      );
    } else {
      const nic = trunk.nics[side];
      borrows.push({ nic, namespace: emulation, as: trunkDevice(i) });
      // Promiscuous: it carries frames of interfaces that it does not know.
      cables.push(`link set dev ${nic} down promisc on name ${trunkDevice(i)} netns ${emulation}`);
    }
  });
  const needsEmulation = cables.some((line) => line.includes(`netns ${emulation}`));
  const all = needsEmulation ? [...namespaces, emulation] : namespaces;
  return {
    title: 'namespaces and cables',
    host: { on: 'machine', machine },
    argv: ['ip', '-batch', '-'],
    stdin: batch([...all.map((name) => `netns add ${name}`), ...cables]),
    namespaces: all,
    ...(borrows.length > 0 ? { borrows } : {}),
  };
}

/** The device at the other end of an interface's cable, and where it is: in the link-emulation namespace if the link passes it. */
export function farEnd({ links }: Fabric, assignments: Assignments, near: EndpointRef): { host: StepHost; device: string } | undefined {
  for (const [i, link] of links.entries()) {
    const side = link.ends.findIndex((e) => e.node === near.node && e.interface === near.interface);
    if (side < 0) continue;
    const other = link.ends[1 - side] as EndpointRef;
    const machine = assignmentOf(assignments, near.node).machine;
    return link.impairments.some(isImpaired) || machine !== assignmentOf(assignments, other.node).machine
      ? { host: { on: 'links', machine }, device: emulationDevices(i)[side] as string }
      : { host: { on: 'node', node: other.node }, device: other.interface };
  }
  return undefined;
}

/** Without a network of the engine's: its cables are netrig's. */
function startContainer({ lab, assignments, machines }: PlanInput, { name, container }: LabNode): Step {
  const { machine } = assignmentOf(assignments, name);
  const { image, mounts } = (machines.get(machine) as PlannedMachine).containers;
  const spec: ContainerSpec = {
    name: containerOf(lab, name),
    lab,
    image: container.image ?? image,
    hostname: name,
    env: container.env,
    binds: mounts,
    memoryBytes: container.memoryBytes,
    cpus: container.cpus,
    privileged: container.privileged ?? false,
  };
  return {
    title: `container of ${name}`,
    host: { on: 'machine', machine },
    argv: ['docker', 'run', '--detach', '--init', '--network=none', `--name=${spec.name}`, spec.image, 'sleep', 'infinity'],
    container: spec,
    namespaces: [namespaceOf(lab, name)],
  };
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
function offloadSteps({ fabric, trunks }: PlanInput, node: LabNode): Step[] {
  const interfaces = fabric.nodes.flatMap((n) => n.interfaces.map((itf) => ({ ...itf, node: n })));
  const emulatedEnds = new Set(
    fabric.links.filter((l) => isEmulated(l, trunks.get(l))).flatMap((l) => l.ends.map((e) => `${e.node}:${e.interface}`)),
  );
  // A promise made anywhere in a segment may have to be kept at its other end, behind bridges.
  const real = new Set(
    interfaces
      .filter((i) => (i.port && i.node.kind === 'ovs-bridge') || emulatedEnds.has(`${i.node.name}:${i.name}`))
      .map((i) => i.segment),
  );
  return node.interfaces
    .filter((itf) => !itf.port && real.has(itf.segment))
    .map((itf) => ({
      title: 'checksums and segmentation in software',
      host: onNode(node),
      argv: ['ethtool', '-K', itf.name, 'tx', 'off'],
    }));
}

/** An Open vSwitch of the node's own: an instance that runs on the machine already is never touched. */
function startOvs({ lab, assignments, machines }: PlanInput, node: LabNode): Step[] {
  const machine = machines.get(assignmentOf(assignments, node.name).machine) as PlannedMachine;
  const dir = ovsDir(machine.stateRoot, lab, node.name);
  const host = onNode(node);
  const env = { OVS_RUNDIR: dir, OVS_LOGDIR: dir, OVS_DBDIR: dir };
  const db = `unix:${dir}/db.sock`;
  const daemon = (name: string) => [
    `--pidfile=${dir}/${name}.pid`,
    `--log-file=${dir}/${name}.log`,
    '--detach',
    '--no-chdir',
    '-vconsole:off',
  ];
  const datapath = machine.capabilities.ovsKernel ? 'system' : 'netdev';
  const ports = node.interfaces.filter((i) => i.port).flatMap((i) => ['--', 'add-port', SWITCH_DEVICE, i.name]);
  return [
    { title: 'folder', host, argv: ['mkdir', '-p', dir] },
    { title: 'database', host, env, argv: ['ovsdb-tool', 'create', `${dir}/conf.db`, '/usr/share/openvswitch/vswitch.ovsschema'] },
    { title: 'ovsdb-server', host, env, argv: ['ovsdb-server', `${dir}/conf.db`, `--remote=p${db}`, ...daemon('ovsdb-server')] },
    {
      title: 'settings, bridge and ports',
      host,
      env,
      argv: [
        'ovs-vsctl',
        `--db=${db}`,
        '--no-wait',
        'init',
        '--',
        'set',
        'Open_vSwitch',
        '.',
        'other_config:n-handler-threads=1',
        'other_config:n-revalidator-threads=1',
        '--',
        'add-br',
        SWITCH_DEVICE,
        '--',
        'set',
        'Bridge',
        SWITCH_DEVICE,
        `datapath_type=${datapath}`,
        `fail_mode=${node.separate ? 'secure' : 'standalone'}`,
        ...ports,
      ],
    },
    // Started last, so that it comes up with its bridge configured; --detach returns once it is.
    { title: 'ovs-vswitchd', host, env, argv: ['ovs-vswitchd', db, ...daemon('ovs-vswitchd')] },
  ];
}

/** One direction through the link emulation of one machine: frames that come in by `from` leave by `to`, shaped if that is done here. */
interface Passage {
  readonly from: string;
  readonly to: string;
  readonly impairment: Impairment | null;
}

/** The directions of link number `index` that pass the links of a machine. */
function passages(input: PlanInput, link: Link, index: number, machine: string): Passage[] {
  const shaped = ([0, 1] as const).flatMap((direction) => {
    const passage = shapedPassage(link, index, direction, input.assignments);
    return passage.machine === machine ? [{ ...passage, impairment: link.impairments[direction] }] : [];
  });
  // What comes in over a trunk was shaped where it was sent.
  return input.trunks.has(link) ? shaped.flatMap((p) => [p, { from: p.to, to: p.from, impairment: null }]) : shaped;
}

/** Where a direction of link number `index` is shaped: on the machine that sends it. */
export function shapedPassage(
  link: Link,
  index: number,
  direction: 0 | 1,
  assignments: Assignments,
): { machine: string; from: string; to: string } {
  const devices = emulationDevices(index);
  const [near, far] = [link.ends[direction], link.ends[direction === 0 ? 1 : 0]].map(
    (end) => assignmentOf(assignments, end.node).machine,
  ) as [string, string];
  return { machine: near, from: devices[direction], to: near === far ? devices[direction === 0 ? 1 : 0] : trunkDevice(index) };
}

const UNIMPAIRED: Impairment = { rateBps: null, delayUs: 0, jitterUs: 0, loss: 0, queueBytes: null };

function emulationSteps(input: PlanInput, machine: string): Step[] {
  const { capabilities, nativeDir, stateRoot } = input.machines.get(machine) as PlannedMachine;
  const devices = new Set<string>();
  const tc: string[] = [];
  const delays: string[] = [];
  input.fabric.links.forEach((link, i) => {
    if (!isEmulated(link, input.trunks.get(link))) return;
    for (const { from, to, impairment } of passages(input, link, i, machine)) {
      devices.add(from);
      const effective = impairment ?? UNIMPAIRED;
      const byHand = needsDelayLine(effective, capabilities.netem);
      tc.push(...shapingLines(to, effective, !byHand));
      if (byHand) {
        delays.push(delayConfig(from, to, effective));
      } else {
        tc.push(
          `qdisc add dev ${from} handle ffff: ingress`,
          `filter add dev ${from} parent ffff: protocol all prio 1 u32 match u32 0 0 action mirred egress redirect dev ${to}`,
        );
      }
    }
  });
  if (devices.size === 0) return [];
  const host = { on: 'links', machine } as const;
  const ups = [...devices].flatMap((device) => [`link set dev ${device} addrgenmode none`, `link set dev ${device} up`]);
  const steps: Step[] = [
    { title: 'links up', host, argv: ['ip', '-batch', '-'], stdin: batch(ups) },
    { title: 'HTB and forwarding', host, argv: ['tc', '-batch', '-'], stdin: batch(tc) },
  ];
  if (delays.length > 0) {
    steps.push({
      title: 'delay line',
      host,
      argv: [join(nativeDir, 'delayline'), delaySocket(stateRoot, input.lab)],
      stdin: batch(delays),
    });
  }
  return steps;
}
