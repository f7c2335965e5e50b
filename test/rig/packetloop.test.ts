/** The packet loop of the replication system on loopback addresses: a producer, relays and consumers of a few messages. */
import assert from 'node:assert/strict';
import { createSocket } from 'node:dgram';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import test from 'ava';
import { PacketLoop, type LoopEvents } from '../../agents/replication/nodes/loop.ts';
import { DATA_PORT, type Destination } from '../../agents/replication/protocol.ts';
import { deliveriesOf, type Delivery } from '../../agents/replication/records.ts';
import { BUILD_DIR } from '../../src/core/paths.ts';
import { dice, mutatedBytes } from '../fuzz/mutation.ts';
import { until } from '../support/until.ts';

const SECRET = '5e'.repeat(32);
const address = (id: number): string => `127.9.0.${id}`;
const MESSAGE_BYTES = 200;

/** Logs of the loops are evidence in a run; here they would only be in the way. */
const quiet = async <T>(work: () => Promise<T>): Promise<T> => {
  const write = process.stderr.write.bind(process.stderr);
  process.stderr.write = () => true;
  try {
    return await work();
  } finally {
    process.stderr.write = write;
  }
};

class Bench implements AsyncDisposable {
  readonly loops: PacketLoop[] = [];
  readonly received = new Map<number, Delivery[]>();

  async add(kind: 'relay' | 'endpoint', id: number, events: LoopEvents = {}, secret = SECRET): Promise<PacketLoop> {
    const got: Delivery[] = [];
    this.received.set(id, got);
    const loop = await PacketLoop.start(kind, { id, bind: address(id) }, BUILD_DIR, secret, {
      onDeliveries: (records) => got.push(...deliveriesOf(records)),
      ...events,
    });
    for (let peer = 1; peer <= 9; peer++) loop.peer(peer, address(peer));
    this.loops.push(loop);
    return loop;
  }

  at(id: number): Delivery[] {
    return this.received.get(id) ?? [];
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all(this.loops.map((l) => l.close()));
  }
}

const to = (peer: number, holdNs = 0, hold: Destination['hold'] = 'relative'): Destination => ({ peer, hold, holdNs });
const send = (loop: PacketLoop, peers: number[], count: number, periodMs = 2, id = 1): void =>
  loop.stream(
    { id, periodNs: periodMs * 1e6, count, bytes: MESSAGE_BYTES, startNs: 0n },
    peers.map((peer) => ({ peer, graph: 0 })),
  );
const latencyMs = (d: Delivery): number => Number(d.kernelNs - d.generatedNs) / 1e6;

/** 1: producer; 2: entry, which knows its flow; 3: a second relay; 4, 5: consumers. */
async function gateway(bench: Bench): Promise<{ producer: PacketLoop; entry: PacketLoop; second: PacketLoop }> {
  const producer = await bench.add('endpoint', 1);
  const entry: PacketLoop = await bench.add('relay', 2, { onFlow: (from, port) => entry.flow(from, port, 1) });
  const second = await bench.add('relay', 3);
  await bench.add('endpoint', 4);
  await bench.add('endpoint', 5);
  return { producer, entry, second };
}

test('R0-5, R0-16 every message reaches both, whole, and is held as long as it is to be', () =>
  quiet(async () => {
    await using bench = new Bench();
    const { producer, entry, second } = await gateway(bench);
    await second.install({ graph: 1, epoch: 1, destinations: [to(5, 3e6)] });
    await entry.install({ graph: 1, epoch: 1, destinations: [to(3), to(4, 10e6, 'absolute')] });
    entry.activate(1, 1);
    send(producer, [2], 100);
    await until(() => bench.at(4).length >= 100 && bench.at(5).length >= 100, 'both have all');
    for (const id of [4, 5])
      assert.deepEqual(
        bench
          .at(id)
          .map((d) => d.sequence)
          .sort((a, b) => a - b),
        Array.from({ length: 100 }, (_, i) => i),
      );
    const median = (id: number) =>
      bench
        .at(id)
        .map(latencyMs)
        .sort((a, b) => a - b)[50]!;
    assert.ok(median(5) >= 3, `held for 3 ms after arrival: ${median(5)}`);
    assert.ok(median(4) >= 10, `10 ms after generation: ${median(4)}`);
    const quickest = (id: number) => Math.min(...bench.at(id).map(latencyMs));
    assert.ok(quickest(5) < 8 && quickest(4) < 15, `not longer: ${quickest(5)}, ${quickest(4)}`);
    assert.ok(
      bench.at(4).every((d) => latencyMs(d) >= 10),
      'never early',
    );
    assert.equal(bench.at(4)[0]?.sender, 2);
    assert.equal(bench.at(5)[0]?.sender, 3);
  }));

test('a graph changes while messages flow: none is lost, none comes twice, none takes both ways', () =>
  quiet(async () => {
    await using bench = new Bench();
    const { producer, entry, second } = await gateway(bench);
    await entry.install({ graph: 1, epoch: 1, destinations: [to(4), to(5)] });
    entry.activate(1, 1);
    send(producer, [2], 600, 1);
    for (let epoch = 2; epoch <= 21; epoch++) {
      await sleep(25);
      // As an RDN does it: those behind first, then the entry, then the epoch. The second relay is only told when its part changes.
      if (epoch % 2 === 0) {
        await second.install({ graph: 1, epoch, destinations: [to(5)] });
        await entry.install({ graph: 1, epoch, destinations: [to(4), to(3)] });
      } else await entry.install({ graph: 1, epoch, destinations: [to(4), to(5)] });
      entry.activate(1, epoch);
    }
    await until(() => bench.at(4).length >= 600 && bench.at(5).length >= 600, 'all have come');
    for (const id of [4, 5])
      assert.deepEqual(
        bench
          .at(id)
          .map((d) => d.sequence)
          .sort((a, b) => a - b),
        Array.from({ length: 600 }, (_, i) => i),
      );
    assert.ok(new Set(bench.at(5).map((d) => d.sender)).size === 2, 'both ways were used');
    assert.ok(new Set(bench.at(4).map((d) => d.epoch)).size >= 10);
  }));

test("two graphs take each other's entries while messages flow: each copy stays in its graph", () =>
  quiet(async () => {
    await using bench = new Bench();
    const producer = await bench.add('endpoint', 1);
    const [left, right] = [await bench.add('relay', 2), await bench.add('relay', 3)];
    for (const [loop, graph] of [
      [left, 1],
      [right, 2],
    ] as const)
      loop.flow(address(1), DATA_PORT + 1, graph);
    await bench.add('endpoint', 4);
    await bench.add('endpoint', 5);
    const consumer = { 1: to(4), 2: to(5) } as const;
    let entries = { 1: left, 2: right };
    const idOf = (loop: PacketLoop): number => (loop === left ? 2 : 3);
    const aims = () => ([1, 2] as const).map((graph) => ({ peer: idOf(entries[graph]), graph }));
    let epoch = 0;
    // As an RDN does it: graph by graph, then the producer.
    const turn = async (): Promise<void> => {
      for (const graph of [1, 2] as const) {
        epoch += 1;
        await entries[graph].install({ graph, epoch, destinations: [consumer[graph]] });
        entries[graph].activate(graph, epoch);
        entries[graph].flow(address(1), DATA_PORT + 1, graph);
        await sleep(3);
      }
      producer.aim(1, aims());
    };
    await turn();
    producer.stream({ id: 1, periodNs: 1e6, count: 400, bytes: MESSAGE_BYTES, startNs: 0n }, aims());
    for (let i = 0; i < 12; i++) {
      entries = { 1: entries[2], 2: entries[1] };
      await turn();
      await sleep(20);
    }
    await until(() => bench.at(4).length >= 400 && bench.at(5).length >= 400, 'every copy reaches its consumer');
    for (const id of [4, 5])
      assert.deepEqual(
        bench
          .at(id)
          .map((d) => d.sequence)
          .sort((a, b) => a - b),
        Array.from({ length: 400 }, (_, i) => i),
      );
  }));

test('R0-31 the first packets of a flow wait for its graph, are asked for once, and keep their order', () =>
  quiet(async () => {
    await using bench = new Bench();
    const producer = await bench.add('endpoint', 1);
    let asked = 0;
    const entry: PacketLoop = await bench.add('relay', 2, {
      onFlow: (from, port) => {
        asked += 1;
        setTimeout(() => entry.flow(from, port, 1), 150);
      },
    });
    await bench.add('endpoint', 4);
    await entry.install({ graph: 1, epoch: 1, destinations: [to(4)] });
    entry.activate(1, 1);
    send(producer, [2], 100);
    await until(() => bench.at(4).length >= 100, 'all have come');
    assert.equal(asked, 1);
    assert.deepEqual(
      bench.at(4).map((d) => d.sequence),
      Array.from({ length: 100 }, (_, i) => i),
    );
    assert.ok(latencyMs(bench.at(4)[0]!) > 100, 'the first one waited for the answer');
  }));

test('R0-17 what does not fit into the buffer gives way as declared', () =>
  quiet(async () => {
    for (const [overflow, expected] of [
      ['drop', 5],
      ['early', 50],
    ] as const) {
      await using bench = new Bench();
      const { producer, entry } = await gateway(bench);
      entry.buffer(5 * MESSAGE_BYTES, overflow);
      await entry.install({ graph: 1, epoch: 1, destinations: [to(4, 400e6)] });
      entry.activate(1, 1);
      send(producer, [2], 50, 1);
      await until(() => bench.at(4).length >= expected && (entry.statistics?.overflowed ?? 0) >= 45, `${overflow}: ${expected} come`);
      await sleep(400);
      assert.equal(bench.at(4).length, expected, overflow);
      assert.equal(entry.statistics?.overflowed, 45);
      assert.ok(entry.statistics.heldMostBytes <= 5 * MESSAGE_BYTES);
    }
  }));

test('messages of somebody else, and damaged ones, are counted and go nowhere', () =>
  quiet(async () => {
    await using bench = new Bench();
    const { entry } = await gateway(bench);
    await entry.install({ graph: 1, epoch: 1, destinations: [to(4)] });
    entry.activate(1, 1);
    const stranger = await bench.add('endpoint', 6, {}, 'aa'.repeat(32));
    send(stranger, [2], 20);
    const socket = createSocket('udp4');
    for (const junk of [Buffer.from('hello'), Buffer.alloc(200), Buffer.alloc(9000, 0xff)])
      await new Promise((resolve) => socket.send(junk, DATA_PORT, address(2), resolve));
    socket.close();
    await until(() => (entry.statistics?.forged ?? 0) >= 23, 'all are counted');
    assert.equal(entry.statistics?.forged, 23);
    assert.equal(entry.statistics.received, 0);
    assert.equal(bench.at(4).length, 0);
  }));

/** Passes datagrams on to a node, and keeps them. */
async function recorder(at: number, target: number): Promise<{ kept: Buffer[]; again(to: number): Promise<void>; close(): void }> {
  const socket = createSocket('udp4');
  const kept: Buffer[] = [];
  const pass = (datagram: Buffer, to: number) =>
    new Promise<void>((resolve) => socket.send(datagram, DATA_PORT, address(to), () => resolve()));
  socket.on('message', (datagram) => {
    kept.push(datagram);
    void pass(datagram, target);
  });
  await new Promise<void>((resolve) => socket.bind(DATA_PORT, address(at), resolve));
  return {
    kept,
    again: async (to) => {
      for (const datagram of kept) await pass(datagram, to);
    },
    close: () => void socket.close(),
  };
}

test('what was recorded and is sent again goes nowhere: to the same node, to another one, after the stream began anew', () =>
  quiet(async () => {
    await using bench = new Bench();
    const { producer, entry, second } = await gateway(bench);
    await entry.install({ graph: 1, epoch: 1, destinations: [to(4)] });
    await second.install({ graph: 1, epoch: 1, destinations: [to(5)] });
    entry.activate(1, 1);
    second.activate(1, 1);
    second.flow(address(1), DATA_PORT + 1, 1);
    const between = await recorder(8, 2);
    producer.peer(2, address(8));
    send(producer, [2], 100);
    await until(() => bench.at(4).length >= 100, 'all come, by way of the recorder');
    await between.again(2);
    await until(() => entry.statistics?.replayed === 100, 'each is counted as a replay');
    await between.again(3);
    await until(() => second.statistics?.forged === 100, 'for another node it is not signed');
    // The producer starts anew: its numbers begin at zero again.
    await producer.close();
    await sleep(300);
    const anew = await bench.add('endpoint', 1);
    send(anew, [2], 50);
    await until(() => bench.at(4).length >= 150, 'a stream that begins anew is heard');
    await between.again(2);
    await until(() => entry.statistics?.replayed === 200, 'of the time before, nothing is');
    between.close();
    assert.equal(bench.at(4).length, 150);
    assert.equal(bench.at(5).length, 0);
  }));

test('twenty thousand damaged datagrams are counted, and the next message is delivered', () =>
  quiet(async () => {
    await using bench = new Bench();
    const { producer, entry } = await gateway(bench);
    await entry.install({ graph: 1, epoch: 1, destinations: [to(4)] });
    entry.activate(1, 1);
    const between = await recorder(8, 2);
    producer.peer(2, address(8));
    send(producer, [2], 20);
    await until(() => bench.at(4).length >= 20, 'all come');
    const { kept } = between;
    const socket = createSocket('udp4');
    for (let seed = 1; seed <= 20_000; seed++) {
      const roll = dice(seed);
      const damaged = mutatedBytes(roll, roll.of(kept));
      await new Promise((resolve) => socket.send(damaged, DATA_PORT, address(2), resolve));
    }
    socket.close();
    send(producer, [2], 20);
    await until(() => bench.at(4).length >= 40, 'what is whole comes after them');
    between.close();
    await until(() => (entry.statistics?.forged ?? 0) + (entry.statistics?.replayed ?? 0) > 10_000, 'they are counted');
    assert.equal(bench.at(4).length, 40);
  }));

test('probes that are sent again measure nothing', () =>
  quiet(async () => {
    await using bench = new Bench();
    let heard = 0;
    const from = await bench.add('relay', 2);
    const hearing = await bench.add('endpoint', 4, { onLatency: () => (heard += 1) });
    const between = await recorder(8, 4);
    from.peer(4, address(8));
    from.probe(4, 10_000, 200);
    await until(() => heard >= 20, 'probes come');
    from.probe(4, 0, 0);
    await until(() => heard === between.kept.length, 'all of them');
    const count = heard;
    await between.again(4);
    await until(() => hearing.statistics?.replayed === count, 'each is counted');
    between.close();
    assert.equal(heard, count);
  }));

test('R0-14 probes measure one-way latencies, and are no messages of the application', () =>
  quiet(async () => {
    await using bench = new Bench();
    const heard: [number, number][] = [];
    const from = await bench.add('relay', 2);
    await bench.add('endpoint', 4, { onLatency: (peer, ns) => heard.push([peer, ns]) });
    from.probe(4, 10_000, 200);
    await until(() => heard.length >= 20, 'probes come');
    from.probe(4, 0, 0);
    assert.ok(heard.every(([peer, ns]) => peer === 2 && ns > 0));
    assert.equal(bench.at(4).length, 0);
    await sleep(300);
    const count = heard.length;
    await sleep(300);
    assert.equal(heard.length, count, 'they stop when told to');
  }));

test('a packet loop that cannot start says why', async () => {
  await assert.rejects(PacketLoop.start('relay', { id: 1, bind: '192.0.2.1' }, BUILD_DIR, SECRET, {}), /Cannot assign requested address/);
  await assert.rejects(PacketLoop.start('relay', { id: 1, bind: '127.0.0.1' }, join(BUILD_DIR, 'nowhere'), SECRET, {}), /ENOENT/);
});
