/**
 * Logical switches, as OpenFlow flows: one per tenant over all servers, as if its vNICs hung off a switch of their
 * own (R4 section 1). Nothing is learned and nothing unknown is flooded: the provider knows every vNIC. Pure.
 *
 *   table 0   who sent it: a vNIC may only send as itself, the fabric only as a remote vNIC; register 0 = tenant
 *   table 1   where it goes: to a vNIC of the same tenant; group addresses to all of them
 */
import type { RemoteVnic, Vnic } from './config.ts';

/** Match to actions. */
export type Flows = ReadonlyMap<string, string>;

const GROUP = 'dl_dst=01:00:00:00:00:00/01:00:00:00:00:00';

export function logicalSwitches(uplink: string, vnics: readonly Vnic[], remotes: readonly RemoteVnic[]): Flows {
  const tenants = [...new Set([...vnics, ...remotes].map((v) => v.tenant))].sort();
  const register = new Map(tenants.map((tenant, i) => [tenant, `0x${(i + 1).toString(16)}`]));
  const flows = new Map<string, string>();
  const from = (port: string, mac: string, tenant: string) => flows.set(`table=0,priority=10,in_port=${port},dl_src=${mac}`, `load:${register.get(tenant)}->NXM_NX_REG0[],resubmit(,1)`);
  const to = (port: string, mac: string, tenant: string) => flows.set(`table=1,priority=10,reg0=${register.get(tenant)},dl_dst=${mac}`, `output:${port}`);
  for (const vnic of vnics) {
    from(vnic.port, vnic.mac, vnic.tenant);
    to(vnic.port, vnic.mac, vnic.tenant);
  }
  for (const remote of remotes) {
    from(uplink, remote.mac, remote.tenant);
    to(uplink, remote.mac, remote.tenant);
  }
  for (const tenant of tenants) {
    // Open vSwitch never sends a packet out of the port it came in by.
    const ports = [...vnics.filter((v) => v.tenant === tenant).map((v) => v.port), uplink];
    flows.set(`table=1,priority=10,reg0=${register.get(tenant)},${GROUP}`, ports.map((port) => `output:${port}`).join(','));
  }
  flows.set('table=0,priority=0', 'drop');
  flows.set('table=1,priority=0', 'drop');
  return flows;
}

/** A plain learning switch, as it was before. */
export const PLAIN_SWITCH: Flows = new Map([['table=0,priority=0', 'NORMAL']]);

/** From one set to another, for `ovs-ofctl --bundle add-flows`: all at once or not at all. */
export const flowChanges = (before: Flows, after: Flows): string[] => [
  ...[...before.keys()].filter((match) => !after.has(match)).map((match) => `delete_strict ${match}`),
  ...[...after].filter(([match, actions]) => before.get(match) !== actions).map(([match, actions]) => `add ${match},actions=${actions}`),
];
