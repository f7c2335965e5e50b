/**
 * Logical switches, as OpenFlow flows: one per tenant over all servers, as if its vNICs hung off a switch of their
 * own (R4 section 1). Nothing is learned and nothing unknown is flooded: the provider knows every vNIC. Pure.
 *
 *   table 0   who sent it: a vNIC may only send as itself, the fabric only as a remote vNIC; metadata = tenant
 *   table 1   where it goes: to a vNIC of the same tenant; group addresses to all of them
 */
import { createHash } from 'node:crypto';
import { GROUP, type Flow } from '../lib/openflow/index.ts';
import type { RemoteVnic, Vnic } from './config.ts';

const PRIORITY = 10;

export function logicalSwitches(uplink: string, vnics: readonly Vnic[], remotes: readonly RemoteVnic[]): Flow[] {
  const tenants = [...new Set([...vnics, ...remotes].map((v) => v.tenant))].sort();
  const places = [...vnics, ...remotes.map((r) => ({ ...r, port: uplink }))];
  return [
    ...places.flatMap(({ mac, tenant, port }): Flow[] => {
      const metadata = tenantNumber(tenant);
      return [
        { table: 0, priority: PRIORITY, match: { inPort: port, ethSrc: mac }, metadata, goto: 1 },
        { table: 1, priority: PRIORITY, match: { metadata, ethDst: mac }, actions: [{ output: port }] },
      ];
    }),
    ...tenants.map((tenant): Flow => ({
      table: 1,
      priority: PRIORITY,
      match: { metadata: tenantNumber(tenant), ethDst: GROUP },
      actions: [...vnics.filter((v) => v.tenant === tenant).map((v) => v.port), uplink].map((output) => ({ output })),
    })),
    { table: 0, priority: 0, match: {} },
    { table: 1, priority: 0, match: {} },
  ];
}

/** From its name alone: nobody's number changes when a tenant comes or goes. */
const tenantNumber = (tenant: string): number => createHash('sha256').update(tenant).digest().readUInt32BE();

/** A plain learning switch, as it was before. */
export const PLAIN_SWITCH: readonly Flow[] = [{ table: 0, priority: 0, match: {}, actions: [{ to: 'normal' }] }];

const matchKey = ({ table, priority, match }: Flow): string => JSON.stringify([table, priority, match]);

/** What to add (or replace) and what to remove to get from one set of flows to another. */
export function flowChanges(before: readonly Flow[], after: readonly Flow[]): { added: Flow[]; removed: Flow[] } {
  const had = new Map(before.map((flow) => [matchKey(flow), JSON.stringify(flow)]));
  const has = new Set(after.map(matchKey));
  return {
    added: after.filter((flow) => had.get(matchKey(flow)) !== JSON.stringify(flow)),
    removed: before.filter((flow) => !has.has(matchKey(flow))),
  };
}
