/** Records of the packet loop (struct delivery, struct replica in native/packetloop.c), as agents log them and checks read them. */

/** A message that came to a consumer. */
export interface Delivery {
  readonly graph: number;
  readonly epoch: number;
  readonly sequence: number;
  /** Producer's stream. */
  readonly source: number;
  /** Node that sent this copy. */
  readonly sender: number;
  readonly bytes: number;
  /** Epoch nanoseconds: generation by the producer's clock; receipt by the kernel and by the application, by this node's. */
  readonly generatedNs: bigint;
  readonly kernelNs: bigint;
  readonly applicationNs: bigint;
}

/** A copy that a PPN sent. */
export interface Replica {
  readonly graph: number;
  readonly epoch: number;
  readonly sequence: number;
  readonly source: number;
  readonly peer: number;
  /** Place in the directive's order. */
  readonly slot: number;
  readonly bytes: number;
  readonly arrivedNs: bigint;
  /** 0: not held. */
  readonly dueNs: bigint;
  readonly sentNs: bigint;
}

/** Streams of one producer: the numbers of its messages' sources follow from its own. */
const STREAMS = 16;
export const MOST_STREAMS = STREAMS - 1;
export const sourceOf = (producer: number, stream: number): number => producer * STREAMS + stream;
export const producerOf = (source: number): number => Math.floor(source / STREAMS);

export const DELIVERY_BYTES = 56;
export const REPLICA_BYTES = 56;

export function* deliveriesOf(records: Buffer): Generator<Delivery> {
  for (let at = 0; at + DELIVERY_BYTES <= records.length; at += DELIVERY_BYTES) {
    yield {
      graph: records.readUInt32LE(at),
      epoch: records.readUInt32LE(at + 4),
      sequence: Number(records.readBigUInt64LE(at + 8)),
      source: records.readUInt32LE(at + 16),
      sender: records.readUInt32LE(at + 20),
      bytes: records.readUInt32LE(at + 24),
      generatedNs: records.readBigInt64LE(at + 32),
      kernelNs: records.readBigInt64LE(at + 40),
      applicationNs: records.readBigInt64LE(at + 48),
    };
  }
}

export function* replicasOf(records: Buffer): Generator<Replica> {
  for (let at = 0; at + REPLICA_BYTES <= records.length; at += REPLICA_BYTES) {
    yield {
      graph: records.readUInt32LE(at),
      epoch: records.readUInt32LE(at + 4),
      sequence: Number(records.readBigUInt64LE(at + 8)),
      source: records.readUInt32LE(at + 16),
      peer: records.readUInt32LE(at + 20),
      slot: records.readUInt32LE(at + 24),
      bytes: records.readUInt32LE(at + 28),
      arrivedNs: records.readBigInt64LE(at + 32),
      dueNs: records.readBigInt64LE(at + 40),
      sentNs: records.readBigInt64LE(at + 48),
    };
  }
}
