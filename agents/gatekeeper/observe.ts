/** Counter readings to what a law decides on. Pure. */
import type { AgentConfig } from './config.ts';
import type { Observation } from './laws/law.ts';
import type { PairRate } from './meter.ts';
import { GROUP_MAC } from './steering.ts';

/** Only pairs of local vNICs count: what merely passes by is not received. */
export function observe({ uplink, vnics, broadcast }: AgentConfig, pairs: readonly PairRate[]): Observation {
  const byReceiver = Map.groupBy(pairs, (p) => p.receiver);
  const sendersTo = (mac: string) => (byReceiver.get(mac) ?? []).map((p) => ({ mac: p.sender, rateBps: p.rateBps }));
  return {
    capacityBps: uplink.rateBps,
    vnics: vnics.map((vnic) => ({ mac: vnic.mac, minBps: vnic.minBps, maxBps: vnic.maxBps, senders: sendersTo(vnic.mac) })),
    group: { maxBps: broadcast * uplink.rateBps, senders: sendersTo(GROUP_MAC) },
  };
}
