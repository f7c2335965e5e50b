/** The replication system: how exactly replicas are released beside timers of an event loop, and how long graphs take to find. */
import { setTimeout as sleep } from 'node:timers/promises';
import { exactSearch } from '../agents/replication/routing/exact.ts';
import { PacketLoop } from '../agents/replication/nodes/loop.ts';
import { lowerBound, search } from '../agents/replication/routing/search.ts';
import { quantileOf } from '../src/checks/statistics.ts';
import { BUILD_DIR } from '../src/core/paths.ts';
import { problem } from '../test/support/replication.ts';
import { print, show } from './measure.ts';

const RELEASES = 2000;
const PERIOD_MS = 4;
const HOLD_MS = 7;

export async function benchReplication(): Promise<void> {
  await releases();
  searches();
}

/** Both at once, on the same machine: messages held by the packet loop, and timers of this process as far apart. */
async function releases(): Promise<void> {
  const secret = '00'.repeat(32);
  const address = (id: number) => `127.9.1.${id}`;
  const write = process.stderr.write.bind(process.stderr);
  process.stderr.write = () => true; // what loops log is evidence in a run
  const loops = await Promise.all(
    (
      [
        ['endpoint', 1],
        ['relay', 2],
        ['endpoint', 3],
      ] as const
    ).map(([kind, id]) => PacketLoop.start(kind, { id, bind: address(id) }, BUILD_DIR, secret, {})),
  );
  const [producer, relay] = loops as [PacketLoop, PacketLoop];
  for (const loop of loops) for (const id of [1, 2, 3]) loop.peer(id, address(id));
  relay.flow(address(1), 5801, 1);
  await relay.install({ graph: 1, epoch: 1, destinations: [{ peer: 3, hold: 'relative', holdNs: HOLD_MS * 1e6 }] });
  relay.activate(1, 1);
  producer.stream({ id: 1, periodNs: PERIOD_MS * 1e6, count: RELEASES, bytes: 200, startNs: 0n }, [{ peer: 2, graph: 0 }]);
  const late: number[] = [];
  for (let i = 0; i < RELEASES; i++) {
    const dueMs = performance.now() + PERIOD_MS;
    await sleep(PERIOD_MS);
    late.push(Math.abs(performance.now() - dueMs) * 1000);
  }
  await sleep(1000);
  const histogram = relay.statistics?.releaseErrorUs ?? [];
  await Promise.all(loops.map((l) => l.close()));
  process.stderr.write = write;
  const total = histogram.reduce((a, b) => a + b, 0);
  const within = (share: number): string => {
    let sum = 0;
    return `< ${2 ** histogram.findIndex((n) => (sum += n) >= share * total)}`;
  };
  print(
    ['late by [us]', 'releases', '50 %', '99 %', '99.9 %'],
    [
      ['packet loop', String(total), within(0.5), within(0.99), within(0.999)],
      ['timers of Node', String(late.length), ...[0.5, 0.99, 0.999].map((q) => quantileOf(late, q).toFixed(0))],
    ],
  );
}

function searches(): void {
  const rows = [
    [7, 8, 2],
    [20, 64, 8],
    [100, 1000, 16],
    [1000, 10_000, 16],
  ].map(([ppns = 0, consumers = 0, fanOut = 0]) => {
    const times: number[] = [];
    const ratios: number[] = [];
    for (let seed = 0; seed < 3; seed++) {
      const p = problem(ppns, consumers, fanOut, seed);
      const startedMs = performance.now();
      const found = search(p);
      times.push(performance.now() - startedMs);
      ratios.push((found?.evaluation.largest ?? NaN) / lowerBound(p));
    }
    return [String(ppns), String(consumers), String(fanOut), show(times, 0), show(ratios)];
  });
  print(['PPNs', 'consumers', 'fan-out', 'search [ms]', 'slowest consumer / shortest path'], rows);
  const gaps = Array.from({ length: 100 }, (_, seed) => {
    const p = problem(4, 5, 2, seed);
    return (100 * (search(p)?.evaluation.largest ?? NaN)) / (exactSearch(p)?.evaluation.largest ?? NaN) - 100;
  });
  process.stdout.write(
    `above the best of all trees (100 graphs of 4 PPNs, 5 consumers): mean ${show(gaps)} %, 95 % of them ${quantileOf(gaps, 0.95).toFixed(2)} %, worst ${Math.max(...gaps).toFixed(1)} %\n`,
  );
}
