/**
 * Fabric to deployment steps. Pure and total: the same topology, assignments and machines give the same plan.
 * Every node has a network namespace. Links are of several kinds (links/), those between machines run over trunks
 * (trunks.ts); what is impaired is shaped by HTB and delayed by netem or delayline in a namespace of its own.
 */
import { hasControl } from '../core/config/characters.ts';
import { join } from 'node:path';
import { SWITCH_DEVICE } from '../core/devices.ts';
import type { Fabric, Impairment, Link, LabNode } from '../topology/model.ts';
import { containerOf, namespaceOf, linksNamespace } from '../rig/labs/names.ts';
import { assignmentOf, type Assignments } from '../rig/labs/assignment.ts';
import type { ContainerSpec, DeployPlan, Stage, Step } from '../rig/labs/steps.ts';
import type { FabricCapabilities } from './capabilities.ts';
import { kindOf, type LinkKind } from './links/kind.ts';
import { isEmulated, siteOf, type LinkSite } from './links/site.ts';
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
/** A line of its own is a command of its own: nothing in one may begin another. */
function batch(lines: readonly string[]): string {
  const broken = lines.find(hasControl);
  if (broken !== undefined) throw new Error(`control character in ${JSON.stringify(broken)}`);
  return lines.map((line) => `${line}\n`).join('');
}
/** Where a machine's delay line takes changes. */
export const delaySocket = (stateRoot: string, lab: string): string => join(stateRoot, lab, 'delayline.sock');
export const ovsDir = (stateRoot: string, lab: string, node: string): string => join(stateRoot, lab, `${node}.ovs`);

/** Every link with its kind. */
const linksOf = ({ fabric, assignments, trunks }: PlanInput): { site: LinkSite; kind: LinkKind }[] =>
  fabric.links.map((link, index) => {
    const site = siteOf(link, index, assignments);
    return { site, kind: kindOf(site, trunks.get(link)) };
  });

function namespacesAndCables(input: PlanInput, machine: string): Step {
  const { lab, fabric, assignments } = input;
  const namespaces = fabric.nodes
    .filter((n) => assignmentOf(assignments, n.name).machine === machine && !assignmentOf(assignments, n.name).container)
    .map((n) => namespaceOf(lab, n.name));
  const links = linksOf(input);
  const cables = links.map(({ kind }) => kind.cables({ lab, fabric, machine }));
  const borrows = cables.flatMap((c) => c.borrows ?? []);
  const emulates = links.some(({ site }) => isEmulated(site) && site.machines.includes(machine));
  const all = emulates ? [...namespaces, linksNamespace(lab)] : namespaces;
  return {
    title: 'namespaces and cables',
    host: { on: 'machine', machine },
    argv: ['ip', '-batch', '-'],
    stdin: batch([...all.map((name) => `netns add ${name}`), ...cables.flatMap((c) => c.lines)]),
    ...(borrows.length > 0 ? { borrows } : {}),
  };
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
    // No search for twins (RFC 4862, 5.4): an address could not be used for its second or two, and the file has no twins.
    for (const address of itf.addresses) lines.push(`addr add ${address} dev ${itf.name}${address.includes(':') ? ' nodad' : ''}`);
    lines.push(`link set dev ${itf.name} up`);
  }
  if (node.kind === 'bridge') lines.push(`link set dev ${SWITCH_DEVICE} addrgenmode none`, `link set dev ${SWITCH_DEVICE} up`);
  return { title: 'interfaces', host: onNode(node), argv: ['ip', '-batch', '-'], stdin: batch(lines) };
}

/**
 * Real frames instead of offload promises: without this, userspace Open vSwitch and the delay line would
 * forward wrong checksums, and HTB would shape 64 kB "packets".
 */
function offloadSteps({ fabric, assignments }: PlanInput, node: LabNode): Step[] {
  const interfaces = fabric.nodes.flatMap((n) => n.interfaces.map((itf) => ({ ...itf, node: n })));
  const emulatedEnds = new Set(
    fabric.links
      .filter((link, index) => isEmulated(siteOf(link, index, assignments)))
      .flatMap((link) => link.ends.map((e) => `${e.node}:${e.interface}`)),
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

const UNIMPAIRED: Impairment = { rateBps: null, delayUs: 0, jitterUs: 0, loss: 0, queueBytes: null };

function emulationSteps(input: PlanInput, machine: string): Step[] {
  const { capabilities, nativeDir, stateRoot } = input.machines.get(machine) as PlannedMachine;
  const devices = new Set<string>();
  const tc: string[] = [];
  const delays: string[] = [];
  for (const { from, to, impairment } of linksOf(input).flatMap(({ kind }) => kind.passages(machine))) {
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
