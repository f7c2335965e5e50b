/** Intervals against the truth, over simulated runs: what "95 %" is worth. Seeded, so that figures are the same everywhere. */
import assert from 'node:assert/strict';
import test from 'ava';
import { combine, type Present } from '../../src/checks/combine.ts';
import { ratio, type Estimate } from '../../src/checks/statistics.ts';
import { CONFIDENCE, confidenceOf, looksOf } from '../../src/core/sequential.ts';
import { random } from '../support/random.ts';

const RUNS = 1000;
const LEAST_COVERAGE = 0.93;

type Noise = (count: number) => number[];

/** Kinds of noise with a known mean, median and 99 % quantile. */
function noises(
  seed: number,
): Readonly<Record<string, { readonly draw: Noise; readonly mean: number; readonly median: number; readonly p99: number }>> {
  const { uniform, normal } = random(seed);
  const list =
    (draw: () => number): Noise =>
    (count) =>
      Array.from({ length: count }, draw);
  const autoregressive =
    (phi: number): Noise =>
    (count) => {
      let x = normal();
      return Array.from({ length: count }, () => (x = phi * x + Math.sqrt(1 - phi * phi) * normal()));
    };
  const Z99 = 2.326348;
  return {
    independent: { draw: list(normal), mean: 0, median: 0, p99: Z99 },
    autocorrelated: { draw: autoregressive(0.5), mean: 0, median: 0, p99: Z99 },
    'strongly autocorrelated': { draw: autoregressive(0.8), mean: 0, median: 0, p99: Z99 },
    // A fifth of the time in another state, a few windows at once.
    clustered: {
      draw: (count) => {
        let other = uniform() < 0.2;
        return Array.from({ length: count }, () => {
          if (uniform() < (other ? 0.3 : 0.075)) other = !other;
          return (other ? 1 : 0) + 0.1 * normal();
        });
      },
      mean: 0.2,
      median: NaN,
      p99: NaN,
    },
    'heavy tails': { draw: list(() => Math.exp(normal())), mean: Math.exp(0.5), median: 1, p99: Math.exp(Z99) },
  };
}

/** Share of runs whose interval holds the truth, and of those that have none: "too few" is said, not guessed. */
function coverage(truth: number, run: () => Estimate, runs = RUNS): { covered: number; open: number } {
  let covered = 0;
  let open = 0;
  for (let i = 0; i < runs; i++) {
    const { low, high } = run();
    if (low <= truth && truth <= high) covered += 1;
    if (low === -Infinity && high === Infinity) open += 1;
  }
  return { covered: covered / runs, open: open / runs };
}

const estimate = (figures: readonly Present[], confidence = CONFIDENCE): Estimate => combine(figures, {}, false, confidence).estimate;

for (const name of Object.keys(noises(0))) {
  test(`the mean of one run: ${name}`, () => {
    const { draw, mean } = noises(1)[name]!;
    // Windows that are much alike tell little: more of them are needed.
    const windows = name === 'strongly autocorrelated' ? 300 : 100;
    const { covered, open } = coverage(mean, () => estimate([{ kind: 'series', values: draw(windows), steady: true }]));
    assert.ok(covered >= LEAST_COVERAGE && open < 0.2, `covered ${covered}, open ${open}`);
  });
  test(`quantiles of one run: ${name}`, () => {
    const { draw, median, p99 } = noises(2)[name]!;
    for (const [quantile, truth, count] of [
      [0.5, median, 200],
      [0.99, p99, 1000],
    ] as const) {
      if (Number.isNaN(truth)) continue;
      const { covered, open } = coverage(truth, () => estimate([{ kind: 'quantile', values: draw(count), quantile }]), 400);
      assert.ok(covered >= LEAST_COVERAGE && open < 0.2, `${quantile}: covered ${covered}, open ${open}`);
    }
  });
  test(`repeats, with a part that differs between runs: ${name}`, () => {
    const { draw, mean } = noises(3)[name]!;
    const { normal } = random(4);
    const repeated = (): Estimate =>
      estimate(
        Array.from({ length: 5 }, () => {
          const shift = 0.3 * normal();
          return { kind: 'series', values: draw(100).map((v) => v + shift), steady: true } as const;
        }),
      );
    const { covered } = coverage(mean, repeated);
    assert.ok(covered >= LEAST_COVERAGE, String(covered));
  });
}

test('within a run, what differs between runs is left out: such an interval is called so', () => {
  const values = noises(5)['independent']!.draw(200);
  assert.equal(combine([{ kind: 'quantile', values, quantile: 0.5 }], {}, false, CONFIDENCE).basis, 'within-run');
  assert.equal(combine([{ kind: 'series', values }], {}, false, CONFIDENCE).basis, 'within-run');
  assert.equal(combine([{ kind: 'series', values, steady: true }], {}, false, CONFIDENCE).basis, 'run');
});

test('shares of trials: independent, rare, in bursts, and none at all', () => {
  const { uniform } = random(6);
  const independent = (share: number, count: number) => () =>
    estimate([
      {
        kind: 'share',
        independent: true,
        trials: [{ count: Array.from({ length: count }, () => uniform() < share).filter(Boolean).length, of: count }],
      },
    ]);
  for (const [share, count] of [
    [0.01, 100],
    [0.05, 1000],
    [0.5, 60],
    [0, 500],
  ] as const) {
    const { covered } = coverage(share, independent(share, count));
    assert.ok(covered >= LEAST_COVERAGE, `${share} of ${count}: ${covered}`);
  }
  // Bursts: intervals of ten datagrams, of which a tenth lose half.
  const bursts = () =>
    estimate([{ kind: 'share', trials: Array.from({ length: 200 }, () => ({ count: uniform() < 0.1 ? 5 : 0, of: 10 })) }]);
  const { covered } = coverage(0.05, bursts);
  assert.ok(covered >= LEAST_COVERAGE, `bursts: ${covered}`);
});

test("quotients: the interval is Fieller's, and covers", () => {
  const { normal } = random(7);
  const repeats = (mean: number, deviation: number) =>
    estimate(Array.from({ length: 4 }, () => ({ kind: 'single', value: mean + deviation * normal() }) as const));
  for (const [above, below] of [
    [1, 0.5],
    [2, 1],
    [10, 4],
  ] as const) {
    const { covered } = coverage(above / 5, () => ratio(repeats(above, below), repeats(5, 0.4)));
    assert.ok(covered >= LEAST_COVERAGE, `${above}/5: ${covered}`);
  }
});

test('looks: each has its part of the error, whatever their number', () => {
  assert.deepEqual(looksOf(1, 12), [1, 3, 5, 7, 10, 12]);
  assert.deepEqual(looksOf(3, 4), [3, 4]);
  assert.deepEqual(looksOf(5, 3), [3]);
  assert.ok(Math.abs(confidenceOf(5) - 0.99) < 1e-12);
});

test('until decided: a true value well inside its bound is called missed in fewer than 1 of 100 runs, one outside met in fewer than 2.5', () => {
  const { normal } = random(8);
  const looks = looksOf(1, 12);
  const confidence = confidenceOf(looks.length);
  /** Outcome of a run whose repeats have the given mean and deviation 1, against "at most 0". */
  const run = (mean: number): 'pass' | 'fail' | 'open' => {
    const values: number[] = [];
    for (const look of looks) {
      while (values.length < look) values.push(mean + normal());
      const { low, high } = estimate(
        values.map((value) => ({ kind: 'single', value }) as const),
        confidence,
      );
      if (high <= 0) return 'pass';
      if (low > 0) return 'fail';
    }
    return 'open';
  };
  const outcomes = (mean: number) => Array.from({ length: 10_000 }, () => run(mean));
  const share = (list: readonly string[], outcome: string) => list.filter((o) => o === outcome).length / list.length;
  // Half of the width of the last interval: 3.1 deviations of the mean of twelve.
  const inside = outcomes((-1.2 * 3.1) / Math.sqrt(12));
  assert.ok(share(inside, 'fail') < 0.01, `missed ${share(inside, 'fail')}`);
  assert.ok(share(inside, 'pass') > 0.5, `met ${share(inside, 'pass')}: looking must lead somewhere`);
  const outside = outcomes(0.01);
  assert.ok(share(outside, 'pass') < 0.025, `met ${share(outside, 'pass')}`);
});
