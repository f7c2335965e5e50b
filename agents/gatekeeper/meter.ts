/** Receive rates per (remote vNIC, local vNIC) since the last reading, from the kernel's counters. */
import { macText } from '../lib/mac.ts';
import { SetCounters } from '../lib/netlink.ts';
import { NFT_TABLE, PAIR_SET } from './htb.ts';

export interface PairRate {
  readonly receiver: string;
  readonly sender: string;
  readonly rateBps: number;
}

const ETHERNET_HEADER_BYTES = 14;

export class Meter {
  readonly #counters = new SetCounters(NFT_TABLE, PAIR_SET);
  #last = new Map<string, bigint>();
  #lastNs = process.hrtime.bigint();

  get pairs(): number {
    return this.#last.size;
  }

  read(): PairRate[] {
    const elements = this.#counters.read();
    const nowNs = process.hrtime.bigint();
    const seconds = Number(nowNs - this.#lastNs) / 1e9;
    const current = new Map<string, bigint>();
    const rates = elements.map(({ key, bytes, packets }): PairRate => {
      const id = key.toString('latin1');
      // At the ingress hook the Ethernet header is off already; links are rated in whole frames.
      const total = bytes + packets * BigInt(ETHERNET_HEADER_BYTES);
      current.set(id, total);
      const before = this.#last.get(id) ?? 0n;
      return { receiver: macText(key, 0), sender: macText(key, 8), rateBps: total >= before ? (Number(total - before) * 8) / seconds : 0 };
    });
    this.#last = current;
    this.#lastNs = nowNs;
    return rates;
  }

  close(): void {
    this.#counters.close();
  }
}
