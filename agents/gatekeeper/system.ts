/** Gatekeeper as the testbed sees it: schema, admission, and what each server's agent is told. Pure. */
import { formatRate, parseDurationUs, parseFraction, parseRateOf } from '../../src/core/units.ts';
import { SWITCH_DEVICE } from '../../src/core/devices.ts';
import type { AgentSpec, SystemDefinition, SystemProblem } from '../../src/systems/definition.ts';
import type { Lab, LabNode } from '../../src/topology/model.ts';
import { gatekeeperSchema, type AgentConfig, type GatekeeperFile, type Vnic } from './config.ts';

const FEEDBACK_PORT = 5789;

interface Server {
  readonly node: LabNode;
  readonly uplinkBps: number;
  readonly vnics: readonly Vnic[];
}

export const system: SystemDefinition<GatekeeperFile> = {
  name: 'gatekeeper',
  configSchema: gatekeeperSchema,
  entry: new URL('./main.ts', import.meta.url),
  page: new URL('./results/page.ts', import.meta.url),
  checks: new URL('./results/check.ts', import.meta.url),
  fixed: ['uplink', 'network', 'label', 'law', 'period', 'increase', 'limiter-timeout', 'counter-timeout'],
  realtime: true,
  plan(config, lab, on) {
    const problems: SystemProblem[] = [];
    if (parseFraction(config.broadcast ?? '1%') <= 0)
      problems.push({ path: ['broadcast'], message: 'broadcast must be above zero', hint: 'ARP needs some of it' });
    if (parseDurationUs(config.period ?? '10ms') < 1000) problems.push({ path: ['period'], message: 'a control period is at least 1ms' });
    const servers = on.flatMap((name) => findServer(config, lab, name, problems));
    for (const server of servers) admit(server, problems);
    if (problems.length > 0) return { agents: [], problems };
    return { agents: servers.map((server) => agentSpec(config, server, servers)), problems };
  },
};

function findServer(config: GatekeeperFile, lab: Lab, name: string, problems: SystemProblem[]): Server[] {
  const node = lab.fabric.nodes.find((n) => n.name === name);
  if (!node || node.kind !== 'ovs-bridge') {
    problems.push({
      path: [],
      message: `server "${name}" must be of kind ovs-bridge`,
      hint: 'Gatekeeper runs between the vNICs and the uplink of a switch',
    });
    return [];
  }
  const uplinkBps = uplinkRate(lab, name, config.uplink);
  if (uplinkBps === null) {
    problems.push({
      path: ['uplink'],
      message: `server "${name}" has no link with a rate at "${config.uplink}"`,
      hint: 'declare the rate of the link: the guarantees are parts of it',
    });
    return [];
  }
  if (!node.interfaces.some((i) => i.name === config.network && i.addresses.length > 0)) {
    problems.push({
      path: ['network'],
      message: `server "${name}" has no address of its own on "${config.network}"`,
      hint: `topology.nodes.${name}.interfaces: { ${config.network}: { address: auto } }`,
    });
    return [];
  }
  return [{ node, uplinkBps, vnics: findVnics(config, lab, node, uplinkBps, problems) }];
}

function uplinkRate(lab: Lab, server: string, uplink: string): number | null {
  for (const link of lab.fabric.links) {
    const side = link.ends.findIndex((e) => e.node === server && e.interface === uplink);
    if (side < 0) continue;
    // Guarantees hold in both directions (hose model): the slower one bounds them.
    const rates = link.impairments.flatMap((i) => (i.rateBps === null ? [] : [i.rateBps]));
    return rates.length === 2 ? Math.min(...rates) : null;
  }
  return null;
}

/** Every interface of a host plugged into the server's switch that carries a tenant label: of the host, or of the link. */
function findVnics(config: GatekeeperFile, lab: Lab, server: LabNode, uplinkBps: number, problems: SystemProblem[]): Vnic[] {
  const label = config.label ?? 'tenant';
  return lab.fabric.links.flatMap((link) => {
    const here = link.ends.find((e) => e.node === server.name && e.interface !== config.uplink && e.interface !== config.network);
    const there = link.ends.find((e) => e !== here);
    const nic = there && lab.fabric.nodes.find((n) => n.name === there.node)?.interfaces.find((i) => i.name === there.interface);
    const tenant = nic?.labels[label];
    if (!here || !there || !nic || tenant === undefined) return [];
    const sold = nic.labels['contract'] ?? tenant;
    const contract = config.contracts[sold];
    if (!contract) {
      problems.push({
        path: ['contracts'],
        message: `no contract "${sold}" for ${there.node}:${there.interface}`,
        hint: `contracts: ${Object.keys(config.contracts).join(', ')}; a vNIC has the one named by its label "contract", or by its tenant`,
      });
      return [];
    }
    return [
      {
        name: `${there.node}:${there.interface}`,
        tenant,
        port: here.interface,
        mac: nic.mac,
        minBps: parseRateOf(contract.min, uplinkBps),
        maxBps: contract.max === undefined ? null : parseRateOf(contract.max, uplinkBps),
      },
    ];
  });
}

/** R4-12: the minimums of a server's vNICs must fit its uplink. */
function admit({ node, uplinkBps, vnics }: Server, problems: SystemProblem[]): void {
  for (const vnic of vnics) {
    if (vnic.minBps <= 0)
      problems.push({
        path: ['contracts'],
        message: `the minimum of ${vnic.name} must be above zero`,
        hint: 'a vNIC without a guarantee would have no class to send in: 0.1% is little enough',
      });
    if (vnic.maxBps !== null && vnic.maxBps < vnic.minBps)
      problems.push({ path: ['contracts'], message: `the maximum of ${vnic.name} is below its minimum` });
  }
  const sumBps = vnics.reduce((sum, vnic) => sum + vnic.minBps, 0);
  // A thousandth of slack: percentages that add up to 100 must not fail by rounding.
  if (sumBps > uplinkBps * 1.001) {
    problems.push({
      path: ['contracts'],
      message: `admission refused on ${node.name}: ${vnics.map((v) => `${v.name} ${formatRate(v.minBps)}`).join(' + ')} exceed the uplink of ${formatRate(uplinkBps)} by ${formatRate(sumBps - uplinkBps)}`,
      hint: 'lower the guarantees or place a vNIC elsewhere',
    });
  }
}

function agentSpec(config: GatekeeperFile, { node, uplinkBps, vnics }: Server, servers: readonly Server[]): AgentSpec {
  const others = servers.filter((s) => s.node !== node);
  const agentConfig: AgentConfig = {
    server: node.name,
    bridge: SWITCH_DEVICE,
    uplink: { device: config.uplink, rateBps: uplinkBps },
    provider: {
      address: providerAddress(node, config.network),
      port: FEEDBACK_PORT,
      peers: Object.fromEntries(others.map((s) => [s.node.name, providerAddress(s.node, config.network)])),
    },
    vnics,
    remotes: others.flatMap((s) => s.vnics.map((v) => ({ mac: v.mac, tenant: v.tenant, server: s.node.name }))),
    law: config.law ?? 'max-min',
    periodMs: parseDurationUs(config.period ?? '10ms') / 1000,
    broadcast: parseFraction(config.broadcast ?? '1%'),
    threshold: parseFraction(config.threshold ?? '95%'),
    active: parseFraction(config.active ?? '1%'),
    increase: parseFraction(config.increase ?? '1%'),
    limiterTimeoutMs: parseDurationUs(config['limiter-timeout'] ?? '1s') / 1000,
    counterTimeoutMs: parseDurationUs(config['counter-timeout'] ?? '5s') / 1000,
    trace: true,
  };
  return { node: node.name, config: agentConfig };
}

/** `findServer` saw to it that there is one. */
const providerAddress = (node: LabNode, network: string): string =>
  node.interfaces.find((i) => i.name === network)?.addresses[0]?.split('/')[0] ?? '';
