/** What the clocks of emulated machines truly show, without any network (test/native/clocktruth.c). */
import assert from 'node:assert/strict';
import { execFile, spawnSync } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { ClockRecord } from '../../src/evidence/records.ts';
import { ROOT } from './netrig.ts';
import type { TestRig } from './rigs.ts';
import { isKnown } from '../../src/clocks/samples.ts';

export const quantiles = (values: number[]): string => {
  const sorted = values.toSorted((a, b) => a - b);
  return `p50 ${sorted[Math.floor(sorted.length / 2)]?.toFixed(0)}, p95 ${sorted[Math.floor(sorted.length * 0.95)]?.toFixed(0)}, max ${sorted.at(-1)?.toFixed(0)}`;
};

export interface Compared {
  readonly reportedNs: number;
  readonly boundNs: number;
  readonly trueNs: number;
  readonly truthErrorNs: number;
}

export function buildTruth(rig: TestRig, dir: string) {
  const program = join(dir, 'clocktruth');
  if (!existsSync(program)) assert.equal(spawnSync('gcc', ['-O2', '-o', program, join(ROOT, 'test/native/clocktruth.c')]).status, 0);
  const binary = readFileSync(program);
  for (const vm of ['vm1', 'vm2', 'vm3']) assert.equal(rig.on(vm, 'cat > /run/clocktruth; chmod +x /run/clocktruth', binary).status, 0);
  const guest = (vm: string, words: string) => assert.equal(rig.on(vm, `/run/clocktruth guest ${words}`).status, 0);
  const host = (...args: string[]): string => {
    const { stdout, stderr, status } = spawnSync(program, ['host', ...args], { encoding: 'utf8' });
    assert.equal(status, 0, stderr);
    return stdout;
  };
  const calibrate = async (vm: string): Promise<{ ticks: bigint; widthNs: number }> => {
    for (let attempt = 0; attempt < 8; attempt++) {
      const calibrating = startProcess(program, ['host', 'calibrate', rig.sharedPage(vm), '5000']);
      await sleep(50);
      guest(vm, 'calibrate 300');
      const found = JSON.parse(await calibrating) as { ticks: string; widthNs: number };
      if (found.widthNs < 5000) return { ticks: BigInt(found.ticks), widthNs: found.widthNs };
    }
    throw new Error(`the counter of ${vm} cannot be calibrated: this machine is too busy`);
  };
  return {
    guest,
    /** Reported offsets (second machine against the first, the reference) beside true ones at the same moments. */
    async compare(reference: string, machine: string, work: () => Promise<ClockRecord>): Promise<Compared[]> {
      const hz = Number(host('hz'));
      const constants = new Map([
        [reference, await calibrate(reference)],
        [machine, await calibrate(machine)],
      ]);
      const samplers = [reference, machine].map((vm) => rig.start(vm, '/run/clocktruth guest sample 4000 50000'));
      // Host's counter and clock at one moment: samples are dated by the clock of this machine.
      const record = await work();
      for (const s of samplers) s.kill('SIGTERM');
      const readings = (vm: string) =>
        host('samples', rig.sharedPage(vm))
          .trim()
          .split('\n')
          .map((line) => line.split(' ').map(BigInt) as [bigint, bigint])
          .map(([t, real]) => ({ hostTicks: t - (constants.get(vm) as { ticks: bigint }).ticks, real }));
      const [of, against] = [readings(machine), readings(reference)];
      // The reference's clock against this machine's: what maps the date of a sample to the counter.
      const nowTicks = dated(program);
      const at = (atMs: number) => nowTicks.ticks + BigInt(Math.round(((atMs - nowTicks.ms) / 1000) * hz));
      const interpolate = (list: { hostTicks: bigint; real: bigint }[], when: bigint): bigint | null => {
        const i = list.findIndex((r) => r.hostTicks > when);
        const [a, b] = [list[i - 1], list[i]];
        if (!a || !b || Number(b.hostTicks - a.hostTicks) / hz > 0.4) return null;
        return a.real + ((b.real - a.real) * (when - a.hostTicks)) / (b.hostTicks - a.hostTicks);
      };
      const error = [...constants.values()].reduce((sum, c) => sum + c.widthNs, 0) / 2 + 2000;
      return record.samples
        .filter(isKnown)
        .filter((s) => s.machine === machine)
        .flatMap((s) => {
          const [x, y] = [interpolate(of, at(s.atMs)), interpolate(against, at(s.atMs))];
          return x === null || y === null
            ? []
            : [{ reportedNs: s.clock.offsetNs, boundNs: s.clock.boundNs, trueNs: Number(x - y), truthErrorNs: error }];
        });
    },
  };
}

/** This machine's counter and clock at one moment. */
function dated(program: string): { ticks: bigint; ms: number } {
  const { stdout } = spawnSync(program, ['host', 'now'], { encoding: 'utf8' });
  const [ticks, ns] = stdout.trim().split(' ') as [string, string];
  return { ticks: BigInt(ticks), ms: Number(BigInt(ns) / 1000n) / 1000 };
}

function startProcess(program: string, args: readonly string[]): Promise<string> {
  return new Promise((resolve, reject) =>
    execFile(program, [...args], (error, stdout) => (error ? reject(new Error(error.message)) : resolve(stdout))),
  );
}
