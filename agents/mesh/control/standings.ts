/** What hosts say of the backends that are on them; of none that is on another host. */
import type { Told } from '../../lib/etcd/follow.ts';
import { partsOf, type Load } from '../rows.ts';
import { SILENT, standingAfter, standingKey, weightsOf, type Standing } from './balancing.ts';
import type { Network } from './state.ts';

export class Standings {
  /** By network and `standingKey`. */
  readonly #all = new Map<string, ReadonlyMap<string, Standing>>();

  of(network: string): ReadonlyMap<string, Standing> {
    return this.#all.get(network) ?? new Map();
  }

  /** Names of networks whose balancers share out differently now. */
  hear(changes: readonly Told<Load>[], networks: ReadonlyMap<string, Network>): Set<string> {
    const other = new Set<string>();
    for (const { key, value } of changes) {
      const [, host = '', name = '', endpoint = '', address = ''] = partsOf(key);
      const network = networks.get(name);
      const balancer = Object.values(network?.balancers ?? {}).find((b) => b.address === address);
      const capacityBps = balancer?.capacitiesBps[endpoint];
      if (!network || capacityBps === undefined || network.endpoints.get(endpoint)?.host !== host) continue;
      const before = this.of(name);
      const own = standingKey(endpoint, address);
      const standing = value ? standingAfter(before.get(own) ?? SILENT, value, capacityBps) : SILENT;
      this.#all.set(name, new Map(before).set(own, standing));
      if (sharesOf(network, before) !== sharesOf(network, this.of(name))) other.add(name);
    }
    return other;
  }
}

const sharesOf = ({ balancers }: Network, standings: ReadonlyMap<string, Standing>): string =>
  JSON.stringify(Object.values(balancers).map((b) => [...weightsOf(b, standings)]));
