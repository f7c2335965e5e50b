/** Receive rates per (remote vNIC, local vNIC) since the last reading, from the kernel's counters. */
import { macText } from '../lib/mac.ts';
import { SetCounters } from '../lib/netlink.ts';
import { GROUP_MAC, GROUP_SET, PAIR_SET, TABLE } from './steering.ts';

export interface PairRate {
  readonly receiver: string;
  readonly sender: string;
  readonly rateBps: number;
}

const ETHERNET_HEADER_BYTES = 14;

interface Reading {
  readonly receiver: string;
  readonly sender: string;
  readonly bytes: number;
}

type Names = (key: Buffer) => Pick<Reading, 'receiver' | 'sender'>;

/** One of the kernel's sets of counters. */
export class Meter {
  readonly #counters: SetCounters;
  readonly #names: Names;
  #last = new Map<string, Reading>();
  #lastNs = process.hrtime.bigint();

  private constructor(set: string, names: Names) {
    this.#counters = new SetCounters(TABLE, set);
    this.#names = names;
  }

  static ofPairs(): Meter {
    return new Meter(PAIR_SET, (key) => ({ receiver: macText(key, 0), sender: macText(key, 8) }));
  }

  /** Broadcast and multicast, by sender. */
  static ofGroups(): Meter {
    return new Meter(GROUP_SET, (key) => ({ receiver: GROUP_MAC, sender: macText(key, 0) }));
  }

  get size(): number {
    return this.#last.size;
  }

  read(): PairRate[] {
    const elements = this.#counters.read();
    const nowNs = process.hrtime.bigint();
    const perSecond = 8e9 / Number(nowNs - this.#lastNs);
    const current = new Map<string, Reading>();
    const rates = elements.map((element): PairRate => {
      const id = element.key.toString('latin1');
      // At the ingress hook the Ethernet header is off already; links are rated in whole frames.
      const bytes = Number(element.bytes) + Number(element.packets) * ETHERNET_HEADER_BYTES;
      const before = this.#last.get(id);
      const { receiver, sender } = before ?? this.#names(element.key);
      current.set(id, { receiver, sender, bytes });
      return { receiver, sender, rateBps: Math.max(0, bytes - (before?.bytes ?? 0)) * perSecond };
    });
    this.#last = current;
    this.#lastNs = nowNs;
    return rates;
  }

  close(): void {
    this.#counters.close();
  }
}
