/** Forwarding unit in front of a PoP, which advertises the anycast addresses (R3 section 2). */
import { existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { connect } from '../../lib/channel.ts';
import { log, type AgentSetup } from '../../lib/rpc.ts';
import type { NodeRole } from '../../lib/role.ts';
import { type AgentConfig } from '../config.ts';
import { MANAGER_PORT, type UnitFunctions, type WireSlot } from '../protocol.ts';
import { known, validated } from '../../lib/params.ts';
import { EDGE_OPERATIONS } from '../operations.ts';
import { startBgp } from './bgp.ts';
import { Forwarder } from './forwarder.ts';
import { HostNetwork } from '../../lib/hostnetwork.ts';
import { SerialQueue } from '../../../src/core/serial.ts';

const COUNT_MS = 250;
const MEMORY = 'memory.json';

/** What a manager, and an agent of this edge before this one, left here. */
const readMemory = (workDir: string): string | null =>
  existsSync(join(workDir, MEMORY)) ? readFileSync(join(workDir, MEMORY), 'utf8') : null;

/** Of a name: each PoP hashes differently, so that one's choice says nothing of another's (R3 section 9.4). */
const seedOf = (name: string): number => Buffer.from(name).reduce((h, byte) => (Math.imul(h, 31) + byte) >>> 0, 7);

export async function startEdge({ config, secret, nativeDir, workDir }: AgentSetup<AgentConfig>): Promise<NodeRole> {
  const { self, pops, nodes, services, devices, bgp, threats } = config;
  const pop = pops.find((p) => p.name === self.pop)!;
  mkdirSync(workDir, { recursive: true });
  const network = new HostNetwork();
  network.forwardAsymmetrically(devices);
  const forwarder = await Forwarder.start(nativeDir, config, seedOf(pop.name));
  // Tunnels begin and end at edges (R3-8), by their addresses at least; nobody else's are opened.
  await forwarder.trust(nodes.filter((n) => n.pop !== pop.name && n.role === 'edge').map((n) => n.address));
  await forwarder.own(nodes.filter((n) => n.pop === pop.name && n.role === 'server').map((n) => n.address));
  for (const prefix of threats) await forwarder.setThreat(prefix, true);

  let version = 0;
  let memory = readMemory(workDir);
  const programming = new SerialQueue();
  const popAt = new Map(nodes.filter((n) => n.role === 'edge' && n.name !== self.name).map((n) => [n.address, n.pop ?? '']));
  const program = async (update: { version: number; slots: readonly WireSlot[] }): Promise<number> => {
    await forwarder.program(update.version, update.slots);
    // Not before: until then what a predecessor left in the kernel goes on by its last table (R3 section 9.12).
    if (version === 0) for (const device of devices) await forwarder.attach(device, 'edge_in');
    version = update.version;
    // What the kernel has: checks believe it, not those who meant it.
    const tables = await Promise.all(
      services.map(
        async ({ name, table }) => [name, (await forwarder.dump(table)).map((address) => popAt.get(address) ?? '').join(',')] as const,
      ),
    );
    log('info', 'tables', { version, tables: Object.fromEntries(tables) });
    return version;
  };
  const functions: UnitFunctions = {
    // One after the other: a later version never ends before an earlier one.
    program: (update) => programming.run(() => program(update)),
    remember: (text) => {
      memory = text;
      writeFileSync(join(workDir, MEMORY), text);
    },
    recall: () => memory,
  };
  const info = nodes.find((n) => n.name === pop.manager)!;
  const link = connect<object>({
    address: info.address,
    port: MANAGER_PORT,
    secret,
    self: self.name,
    peer: info.name,
    local: functions,
    onPeer: () => log('info', 'managed', { by: info.name }),
  });
  const speaker = bgp ? await startBgp(workDir, self.address, bgp) : null;
  let counted: Readonly<Record<string, number>> = {};
  const counts = setInterval(
    () =>
      void forwarder.counters().then(
        (c) => {
          counted = c;
        },
        () => undefined,
      ),
    COUNT_MS,
  );
  return {
    counters: () => ({ ...counted, version }),
    /** Withdraw, Advertise: its anycast addresses. Block, Allow { prefix }: sources that are a threat. */
    request: async (operation, params) => {
      const name = known(EDGE_OPERATIONS, operation);
      if (name === 'Withdraw' || name === 'Advertise') await speaker?.advertise(name === 'Advertise');
      else await forwarder.setThreat(validated(EDGE_OPERATIONS[name], params).prefix, name === 'Block');
      return null;
    },
    stop: async () => {
      clearInterval(counts);
      link.close();
      await speaker?.stop();
      await forwarder.stop();
      await network.stop();
      // Of this run: the next one begins by knowing nothing.
      rmSync(join(workDir, MEMORY), { force: true });
    },
  };
}

/** A router between clients and PoPs. */
export async function startRouter({ config, workDir }: AgentSetup<AgentConfig>): Promise<NodeRole> {
  const network = new HostNetwork();
  network.forwardAsymmetrically(config.devices);
  const speaker = config.bgp ? await startBgp(workDir, config.self.address, config.bgp) : null;
  return {
    counters: () => ({}),
    stop: async () => {
      await speaker?.stop();
      await network.stop();
    },
  };
}
