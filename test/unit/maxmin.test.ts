/** The max–min law, first in a discrete-time model of the link: one step of the model is one period. */
import assert from 'node:assert/strict';
import test from 'ava';
import fc from 'fast-check';
import type { Observation } from '../../agents/gatekeeper/laws/law.ts';
import { createController } from '../../agents/gatekeeper/laws/index.ts';
import { waterFill, type Claim } from '../../agents/gatekeeper/laws/waterfill.ts';

const claims = fc.array(
  fc.record({
    guaranteeBps: fc.integer({ min: 0, max: 20 }),
    weight: fc.integer({ min: 1, max: 20 }),
    demandBps: fc.oneof(fc.integer({ min: 0, max: 200 }), fc.constant(Infinity)),
    ceilingBps: fc.oneof(fc.integer({ min: 20, max: 200 }), fc.constant(Infinity)),
  }),
  { minLength: 1, maxLength: 12 },
);

test('R4-20 water filling: never above the capacity or a ceiling, guarantees kept, nothing left idle that is wanted', () => {
  fc.assert(
    fc.property(claims, (list: Claim[]) => {
      const rates = waterFill(240, list);
      const sum = rates.reduce((a, b) => a + b, 0);
      assert.ok(sum <= 240 + 1e-6);
      const wanted = list.map((c) => Math.min(c.demandBps, c.ceilingBps));
      rates.forEach((rate, i) => {
        const c = list[i] as Claim;
        assert.ok(rate <= c.ceilingBps + 1e-6);
        assert.ok(rate >= Math.min(c.guaranteeBps, wanted[i] as number) - 1e-6);
      });
      if (wanted.reduce((a, b) => a + b, 0) >= 240) assert.ok(sum >= 240 - 1e-3, `${sum} of 240 used`);
    }),
    { numRuns: 2000 },
  );
});

test('R4-20 water filling is max–min: raising anyone means lowering someone who has no more per weight', () => {
  fc.assert(
    fc.property(claims, (list: Claim[]) => {
      const plain = list.map((c) => ({ ...c, guaranteeBps: 0, demandBps: c.ceilingBps }));
      const rates = waterFill(240, plain);
      const level = (i: number) => (rates[i] as number) / (plain[i] as Claim).weight;
      const open = rates.map((_, i) => i).filter((i) => (rates[i] as number) < (plain[i] as Claim).ceilingBps - 1e-3);
      for (const i of open) for (let j = 0; j < rates.length; j++) assert.ok(level(j) <= level(i) + 1e-3);
    }),
    { numRuns: 1000 },
  );
});

interface Tenant {
  readonly mac: string;
  readonly minBps: number;
  readonly maxBps: number | null;
  readonly senders: number;
  offered(period: number): number;
}

/** Senders obey the last rate they were told; the link drops in proportion. Returns received shares per tenant and period. */
function simulate(law: 'max-min' | 'paper' | 'ratekeeper', tenants: readonly Tenant[], periods: number): number[][] {
  const controller = createController(law);
  const limits = new Map<string, number>();
  const counters = new Map<string, number>();
  const history: number[][] = [];
  for (let period = 0; period < periods; period++) {
    const sent = tenants.map((t) =>
      Array.from({ length: t.senders }, (_, s) => Math.min(t.offered(period) / t.senders, limits.get(`${t.mac}${s}`) ?? Infinity)),
    );
    const total = sent.flat().reduce((a, b) => a + b, 0);
    const kept = total > 100 ? 100 / total : 1;
    const received = sent.map((list) => list.map((rate) => rate * kept));
    received.forEach((list, t) =>
      list.forEach((rate, s) => {
        if (rate > 0) counters.set(`${tenants[t]?.mac}${s}`, period);
      }),
    );
    const observation: Observation = {
      capacityBps: 100,
      group: { maxBps: 1, senders: [] },
      vnics: tenants.map((t, i) => ({
        mac: t.mac,
        minBps: t.minBps,
        maxBps: t.maxBps,
        senders: (received[i] as number[]).flatMap((rateBps, s) =>
          period - (counters.get(`${t.mac}${s}`) ?? -Infinity) < 100 ? [{ mac: `${t.mac}${s}`, rateBps }] : [],
        ),
      })),
    };
    const told = new Set<string>();
    for (const a of controller(observation, { threshold: 0.95, active: 0.01, periodMs: 10 })) {
      limits.set(a.sender, a.rateBps);
      told.add(a.sender);
    }
    // Silence raises a limit by 1 % of the link, divided by the senders.
    for (const [sender, rate] of limits)
      if (!told.has(sender)) limits.set(sender, rate + 1 / (tenants.find((t) => sender.startsWith(t.mac))?.senders ?? 1));
    history.push(received.map((list) => list.reduce((a, b) => a + b, 0)));
  }
  return history;
}

const greedy = (mac: string, minBps: number, senders: number, from = 0, to = Infinity, maxBps: number | null = null): Tenant => ({
  mac,
  minBps,
  maxBps,
  senders,
  offered: (p) => (p >= from && p < to ? 300 : 0),
});
const settledAfter = (history: readonly number[][], tenant: number, step: number, limit: number) =>
  history.findIndex((_, p) => p >= step && history.slice(p).every((h) => (h[tenant] as number) <= limit * 1.05)) - step;

test('R4-8 model: ours settles within two periods of a flood, whatever the number of senders; without oscillation', () => {
  for (const senders of [1, 3, 30]) {
    const history = simulate('max-min', [greedy('A', 70, 1), greedy('B', 30, senders, 50)], 200);
    assert.ok(settledAfter(history, 1, 50, 29.7) <= 2, `${senders} senders: ${settledAfter(history, 1, 50, 29.7)} periods`);
    for (const [a, b] of history.slice(53) as [number, number][]) {
      assert.ok(Math.abs(a - 69.3) < 0.7 && Math.abs(b - 29.7) < 0.7, `${a} ${b}`);
    }
  }
});

test('R4-9 model: what one tenant leaves the other has within three periods; the paper needs its ramp', () => {
  const recovered = (law: 'max-min' | 'paper') =>
    simulate(law, [greedy('A', 70, 1), greedy('B', 30, 3, 20, 100)], 260).findIndex((h, p) => p >= 100 && (h[0] as number) >= 95) - 100;
  assert.ok(recovered('max-min') <= 4, `${recovered('max-min')} periods`);
  assert.ok(recovered('paper') > 20, `${recovered('paper')} periods`);
});

test('R4-4 R4-5 model: alone a tenant has the link, or its maximum', () => {
  assert.ok(
    simulate('max-min', [greedy('A', 70, 2), greedy('B', 30, 1, 1e9)], 50)
      .slice(3)
      .every((h) => (h[0] as number) > 99),
  );
  assert.ok(
    simulate('max-min', [greedy('A', 70, 2, 0, Infinity, 70), greedy('B', 30, 1, 1e9)], 50)
      .slice(3)
      .every((h) => Math.abs((h[0] as number) - 70) < 0.5),
  );
});

test('R4-2 model: every backlogged vNIC has its minimum, the sum never exceeds the link, with many tenants', () => {
  fc.assert(
    fc.property(
      fc.array(
        fc.record({ min: fc.integer({ min: 5, max: 20 }), senders: fc.integer({ min: 1, max: 8 }), from: fc.integer({ min: 0, max: 20 }) }),
        { minLength: 2, maxLength: 5 },
      ),
      (list) => {
        const tenants = list.map((t, i) => greedy(`T${i}-`, t.min, t.senders, t.from));
        const history = simulate('max-min', tenants, 80);
        for (const shares of history.slice(30)) {
          assert.ok(shares.reduce((a, b) => a + b, 0) <= 100 + 1e-6);
          assert.ok(shares.reduce((a, b) => a + b, 0) >= 98);
          shares.forEach((share, i) =>
            assert.ok(share >= (tenants[i] as Tenant).minBps * 0.989, `tenant ${i}: ${share} of ${tenants[i]?.minBps}`),
          );
        }
      },
    ),
    { numRuns: 200 },
  );
});

test('a modest tenant is not limited, and what it does not use is not idle', () => {
  const modest: Tenant = { mac: 'A', minBps: 70, maxBps: null, senders: 1, offered: () => 5 };
  const history = simulate('max-min', [modest, greedy('B', 30, 3)], 120);
  for (const [a, b] of history.slice(30) as [number, number][]) {
    assert.ok(a > 4.9, `${a}`);
    assert.ok(b > 85, `${b}`);
  }
});

test('R4-8 model: a tenant that a flood starves to silence finds its guarantee free when it comes back', () => {
  const timeout: Tenant = { mac: 'A', minBps: 70, maxBps: null, senders: 1, offered: (p) => (p < 20 ? 300 : p < 45 ? 0 : 300) };
  const history = simulate('max-min', [timeout, greedy('B', 30, 3, 20)], 120);
  for (const [, b] of history.slice(22, 45) as [number, number][]) assert.ok(b < 31.5, `B has ${b} of what A was pushed off`);
  for (const [a] of history.slice(46) as [number][]) assert.ok(a > 68.5, `A has ${a}`);
});

test('R4-4 model: one that stays silent loses what was kept for it, and the link is never overloaded', () => {
  const gone: Tenant = { mac: 'A', minBps: 70, maxBps: null, senders: 1, offered: (p) => (p < 20 ? 300 : p < 95 ? 0 : 300) };
  const history = simulate('max-min', [gone, greedy('B', 30, 3, 20)], 120);
  for (const [, b] of history.slice(75, 94) as [number, number][]) assert.ok(b > 95 && b < 98.5, `B has ${b}`);
  for (const [a] of history.slice(98) as [number][]) assert.ok(a > 68.5, `A has ${a}`);
});

/** As simulate(), but senders send whole packets (at 60 kbit/s one in twenty periods), and the link has a queue of 100 packets. */
function simulatePackets(senders: number, periods: number): [number, number][] {
  const capacityBps = 20e6;
  const packetBps = (1514 * 8) / 0.01;
  const controller = createController('max-min');
  const names = ['a', ...Array.from({ length: senders }, (_, i) => `b${i}`)];
  const limits = new Map<string, number>();
  const credits = new Map<string, number>();
  const queued = new Map<string, number>();
  const history: [number, number][] = [];
  for (let period = 0; period < periods; period++) {
    for (const mac of names) {
      const offeredBps = mac === 'a' ? capacityBps : period < 50 ? 0 : (3 * capacityBps) / senders;
      const credit = (credits.get(mac) ?? 0) + Math.min(offeredBps, limits.get(mac) ?? Infinity);
      const packets = Math.floor(credit / packetBps);
      credits.set(mac, credit - packets * packetBps);
      queued.set(mac, (queued.get(mac) ?? 0) + packets * packetBps);
    }
    const waiting = [...queued.values()].reduce((a, b) => a + b, 0);
    const served = new Map([...queued].map(([mac, bits]) => [mac, bits * Math.min(1, capacityBps / waiting)]));
    const left = Math.min(1, (100 * packetBps) / Math.max(1, waiting - capacityBps));
    for (const [mac, bits] of queued) queued.set(mac, (bits - (served.get(mac) ?? 0)) * left);
    const of = (mac: string) => ({ mac, rateBps: served.get(mac) ?? 0 });
    const b = names.slice(1).map(of);
    const observation: Observation = {
      capacityBps,
      group: { maxBps: 1, senders: [] },
      vnics: [
        { mac: 'A', minBps: 14e6, maxBps: null, senders: [of('a')] },
        { mac: 'B', minBps: 6e6, maxBps: null, senders: period < 50 ? [] : b },
      ],
    };
    for (const f of controller(observation, { threshold: 0.95, active: 0.01, periodMs: 10 })) limits.set(f.sender, f.rateBps);
    history.push([of('a').rateBps, b.reduce((sum, s) => sum + s.rateBps, 0)]);
  }
  return history;
}

test('R4-7 model: 99 senders that send a packet now and then are held to their guarantee together, as one is', () => {
  for (const senders of [1, 10, 99]) {
    const settled = simulatePackets(senders, 600).slice(300);
    const mean = (pick: 0 | 1) => settled.reduce((sum, h) => sum + h[pick], 0) / settled.length;
    assert.ok(mean(1) <= 6e6 * 1.03, `${senders} senders: B has ${mean(1)}`);
    assert.ok(mean(1) >= 6e6 * 0.9, `${senders} senders: B has ${mean(1)}`);
    assert.ok(mean(0) >= 14e6 * 0.97, `${senders} senders: A has ${mean(0)}`);
  }
});
