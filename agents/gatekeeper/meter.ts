/** Receive rates per (remote vNIC, local vNIC) since the last reading, from the kernel's counters. */
import { macNumber, macText } from '../lib/mac.ts';
import { SetCounters, type SetElement } from '../lib/netlink.ts';
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
  bytes: number;
  /** Number of the reading that saw it last. */
  seen: number;
}

/** How the key of a set is read: who received, who sent. */
interface KeyLayout {
  readonly receiverAt: number | null;
  readonly senderAt: number;
}

/** One of the kernel's sets of counters. */
export class Meter {
  readonly #counters: SetCounters;
  readonly #layout: KeyLayout;
  /** By receiver, then by sender, as numbers. */
  readonly #readings = new Map<number, Map<number, Reading>>();
  #readingNumber = 0;
  #size = 0;
  #lastNs = process.hrtime.bigint();

  private constructor(set: string, layout: KeyLayout) {
    this.#counters = new SetCounters(TABLE, set);
    this.#layout = layout;
  }

  static ofPairs(): Meter {
    return new Meter(PAIR_SET, { receiverAt: 0, senderAt: 8 });
  }

  /** Broadcast and multicast, by sender. */
  static ofGroups(): Meter {
    return new Meter(GROUP_SET, { receiverAt: null, senderAt: 0 });
  }

  get size(): number {
    return this.#size;
  }

  read(): PairRate[] {
    const seen: { reading: Reading; bytes: number }[] = [];
    this.#readingNumber += 1;
    this.#counters.read((element) => {
      // At the ingress hook the Ethernet header is off already; links are rated in whole frames.
      const bytes = element.bytes + element.packets * ETHERNET_HEADER_BYTES;
      const reading = this.#readingOf(element);
      // A counter that timed out and came back starts anew.
      seen.push({ reading, bytes: bytes >= reading.bytes ? bytes - reading.bytes : bytes });
      reading.bytes = bytes;
      reading.seen = this.#readingNumber;
    });
    const nowNs = process.hrtime.bigint();
    const perSecond = 8e9 / Number(nowNs - this.#lastNs);
    this.#lastNs = nowNs;
    if (seen.length < this.#size) this.#forget();
    this.#size = seen.length;
    return seen.map(({ reading, bytes }) => ({ receiver: reading.receiver, sender: reading.sender, rateBps: bytes * perSecond }));
  }

  close(): void {
    this.#counters.close();
  }

  #readingOf({ buffer, keyAt }: SetElement): Reading {
    const { receiverAt, senderAt } = this.#layout;
    const receiver = receiverAt === null ? 0 : macNumber(buffer, keyAt + receiverAt);
    const sender = macNumber(buffer, keyAt + senderAt);
    let senders = this.#readings.get(receiver);
    if (!senders) this.#readings.set(receiver, (senders = new Map<number, Reading>()));
    let reading = senders.get(sender);
    if (!reading) {
      reading = {
        receiver: receiverAt === null ? GROUP_MAC : macText(buffer, keyAt + receiverAt),
        sender: macText(buffer, keyAt + senderAt),
        bytes: 0,
        seen: 0,
      };
      senders.set(sender, reading);
    }
    return reading;
  }

  /** Drops what this reading did not see any more. */
  #forget(): void {
    for (const [receiver, senders] of this.#readings) {
      for (const [sender, reading] of senders) if (reading.seen !== this.#readingNumber) senders.delete(sender);
      if (senders.size === 0) this.#readings.delete(receiver);
    }
  }
}
