/** Message consumer: takes the first copy of every message, and keeps count of what it got and how late. */
import type { AgentSetup } from '../../lib/rpc.ts';
import type { AgentConfig } from '../config.ts';
import { Member } from './member.ts';
import type { ConsumerMetrics, Sample } from '../protocol.ts';
import { deliveriesOf, type Delivery } from '../records.ts';
import type { NodeRole } from '../../lib/role.ts';

/** Sequence numbers that are remembered of a stream, so that later copies are known. */
const REMEMBERED = 16_384;

class Tally {
  #count = 0;
  #duplicates = 0;
  #bytes = 0;
  #mean = 0;
  #squares = 0;
  #least = Infinity;
  #most = 0;
  readonly #streams = new Map<number, { first: number; last: number; seen: Set<number>; count: number }>();

  /** false: a copy of one that came before. */
  add({ source, sequence, bytes, generatedNs, kernelNs }: Delivery): boolean {
    let stream = this.#streams.get(source);
    if (!stream) this.#streams.set(source, (stream = { first: sequence, last: sequence, seen: new Set(), count: 0 }));
    if (stream.seen.has(sequence)) {
      this.#duplicates += 1;
      return false;
    }
    stream.seen.add(sequence);
    if (stream.seen.size > REMEMBERED) stream.seen.delete(stream.seen.values().next().value as number);
    stream.count += 1;
    stream.first = Math.min(stream.first, sequence);
    stream.last = Math.max(stream.last, sequence);
    const us = Number(kernelNs - generatedNs) / 1000;
    this.#count += 1;
    this.#bytes += bytes;
    // Welford: neither loses what is small beside the sum.
    const delta = us - this.#mean;
    this.#mean += delta / this.#count;
    this.#squares += delta * (us - this.#mean);
    this.#least = Math.min(this.#least, us);
    this.#most = Math.max(this.#most, us);
    return true;
  }

  metrics(): ConsumerMetrics {
    const missing = [...this.#streams.values()].reduce((sum, s) => sum + (s.last - s.first + 1 - s.count), 0);
    return {
      messages: this.#count,
      duplicates: this.#duplicates,
      bytes: this.#bytes,
      missing,
      meanUs: this.#mean,
      deviationUs: this.#count > 1 ? Math.sqrt(this.#squares / (this.#count - 1)) : 0,
      smallestUs: this.#count > 0 ? this.#least : 0,
      largestUs: this.#most,
    };
  }
}

export async function startConsumer(setup: AgentSetup<AgentConfig>): Promise<NodeRole> {
  const tally = new Tally();
  let samples: Sample[] = [];
  let sampleEvery = 1;
  const member = await Member.start('endpoint', setup, {
    events: {
      onDeliveries: (records) => {
        for (const delivery of deliveriesOf(records)) {
          if (tally.add(delivery) && delivery.sequence % sampleEvery === 0)
            samples.push([delivery.source, delivery.sequence, Number(delivery.kernelNs - delivery.generatedNs)]);
        }
      },
    },
    onSettle: (settings) => {
      sampleEvery = settings.sampleEvery;
    },
    metrics: () => tally.metrics(),
    takeSamples: () => {
      const taken = samples;
      samples = [];
      return taken;
    },
  });
  return {
    counters: () => ({ ...member.counters, duplicates: tally.metrics().duplicates, missing: tally.metrics().missing }),
    problem: () => member.problem,
    stop: () => member.stop(),
  };
}
