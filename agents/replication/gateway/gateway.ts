/** Translates addresses between virtual networks, and lets pass what a direction's tasks allow, in the node's Open vSwitch. */
import { spawn } from 'node:child_process';
import { join } from 'node:path';
import { listen } from '../../lib/channel.ts';
import { log, Refusal, type AgentSetup } from '../../lib/rpc.ts';
import type { AgentConfig } from '../config.ts';
import { GATEWAY_PORT, type GatewayFunctions } from '../protocol.ts';
import type { NodeRole } from '../../lib/role.ts';
import { countsOf, flowsOf, NO_TASKS, type Fabric, type Tasks } from './flows.ts';

const BRIDGE = 'br0';

export async function startGateway({ config, secret, ovsDir }: AgentSetup<AgentConfig>): Promise<NodeRole> {
  const { fabric } = config;
  if (!fabric || ovsDir === null) throw new Error('a gateway needs an Open vSwitch');
  const gateway = new Gateway(fabric, ovsDir);
  await gateway.settle(NO_TASKS);
  const functions: GatewayFunctions = { settle: (tasks) => gateway.settle(tasks), metrics: () => gateway.metrics() };
  const listening = await listen<object>({
    address: config.self.bind, port: GATEWAY_PORT, secret, silenceMs: config.silenceMs,
    serve: (name) => (config.nodes.find((n) => n.name === name)?.role === 'control' ? functions : undefined),
    onPeer: () => undefined,
  });
  return {
    counters: () => ({ flows: gateway.flows }),
    stop: async () => {
      listening.close();
      await gateway.clear();
    },
  };
}

class Gateway {
  readonly #fabric: Fabric;
  readonly #ovsDir: string;
  readonly #bridge: string;
  flows = 0;

  constructor(fabric: Fabric, ovsDir: string) {
    this.#fabric = fabric;
    this.#ovsDir = ovsDir;
    this.#bridge = `unix:${join(ovsDir, `${BRIDGE}.mgmt`)}`;
  }

  /** All flows in one transaction: no packet meets half of them. */
  async settle(tasks: Tasks): Promise<void> {
    const names = this.#fabric.networks.map((n) => n.name);
    for (const [direction, { allow }] of Object.entries(tasks.directions)) {
      for (const name of direction.split('->')) if (!names.includes(name)) throw new Refusal('InvalidRequest', `/directions/${direction}: no network "${name}"; networks: ${names.join(', ')}`);
      for (const rule of allow === 'any' ? [] : allow) if (Number(rule.split(':')[1]) > 65_535) throw new Refusal('InvalidRequest', `/directions/${direction}: ${rule}: no such port`);
    }
    const flows = flowsOf(this.#fabric, tasks);
    await ofctl(['--bundle', 'replace-flows', this.#bridge, '-'], flows.join('\n'));
    await this.#forgetCached();
    this.flows = flows.length;
    log('info', 'tasks', { tasks });
  }

  async metrics(): Promise<Record<string, { passed: number; refused: number }>> {
    return countsOf(await ofctl(['dump-flows', this.#bridge, 'table=2']), this.#fabric);
  }

  async clear(): Promise<void> {
    await ofctl(['del-flows', this.#bridge]);
    await this.#forgetCached();
    this.flows = 0;
  }

  /** The userspace datapath of Open vSwitch 3.1 can keep a cached "drop" after the flows that it came from are gone. */
  async #forgetCached(): Promise<void> {
    await openvswitch('ovs-appctl', ['revalidator/purge'], '', { ...process.env, OVS_RUNDIR: this.#ovsDir });
  }
}

/** Open vSwitch's own client: flows with translations are beyond agents/lib/openflow.ts, and change rarely. */
const ofctl = (args: readonly string[], input = ''): Promise<string> => openvswitch('ovs-ofctl', ['-O', 'OpenFlow13', ...args], input);

function openvswitch(program: string, args: readonly string[], input: string, env = process.env): Promise<string> {
  return new Promise((resolve, reject) => {
    const child = spawn(program, args, { env });
    let [out, complaint] = ['', ''];
    child.stdout.setEncoding('utf8').on('data', (text: string) => { out += text; });
    child.stderr.setEncoding('utf8').on('data', (text: string) => { complaint += text; });
    child.once('error', reject);
    child.stdin.on('error', () => undefined).end(input);
    child.once('close', (code) => { if (code === 0) resolve(out); else reject(new Error(`${program} ${args.join(' ')}: ${complaint.trim() || `exit ${code}`}`)); });
  });
}
