import type { Problem } from '../../agents/replication/routing/graph.ts';

/** Nodes in a plane of 10 ms by 10 ms (`euclidean`), or with latencies that follow no geometry. */
export function problem(ppns: number, consumers: number, fanOut: number, seed: number, euclidean = true): Problem {
  let state = seed * 7919 + 1;
  const random = () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return state / 2 ** 32;
  };
  const point = () => [random() * 10_000, random() * 10_000] as const;
  const [at, to, producer] = [Array.from({ length: ppns }, point), Array.from({ length: consumers }, point), point()];
  const latency = (a: readonly [number, number], b: readonly [number, number]) =>
    euclidean ? 100 + Math.hypot(a[0] - b[0], a[1] - b[1]) : 200 + random() * 9800;
  return {
    ppns,
    consumers,
    fromProducer: Float64Array.from(at, (p) => latency(producer, p)),
    between: Float64Array.from({ length: ppns * ppns }, (_, i) =>
      Math.floor(i / ppns) === i % ppns ? Infinity : latency(at[Math.floor(i / ppns)]!, at[i % ppns]!),
    ),
    toConsumer: Float64Array.from({ length: ppns * consumers }, (_, i) => latency(at[i % ppns]!, to[Math.floor(i / ppns)]!)),
    dwellUs: new Float64Array(ppns).fill(40),
    elapsedUs: new Float64Array(ppns).fill(10),
    fanOut: new Int32Array(ppns).fill(fanOut),
    limitUs: new Float64Array(consumers).fill(Infinity),
  };
}
