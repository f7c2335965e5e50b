/** Emulated links are what the file says: delay, jitter, loss, rate, each direction by itself; linktest sees it and packets feel it. */
import assert from 'node:assert/strict';
import { join } from 'node:path';
import test from 'ava';
import { emptyHeaders, readHeaders } from '../../src/capture/headers.ts';
import { readCapture } from '../../src/capture/reader.ts';
import type { LinkMeasurement } from '../../src/evidence/records.ts';
import type { PhaseRecord } from '../../src/evidence/records.ts';
import { netrig, scratch } from '../support/netrig.ts';
import { readPart } from '../../src/evidence/parts.ts';

test('delay, jitter, loss and rate per direction; a prober over the same links agrees', async () => {
  using files = scratch();
  const topology = files.file(
    'lab.yaml',
    `
name: t-links
saturation: 100%
topology:
  nodes: { a: , b: }
  links:
    - { endpoints: ["a:fast", "b:fast"], rate: 100Mbit, delay: 10ms, reverse: { rate: 10Mbit, delay: 30ms } }
    - { endpoints: ["a:lossy", "b:lossy"], loss: 5%, reverse: { loss: 0% } }
    - { endpoints: ["a:jitter", "b:jitter"], delay: 20ms, jitter: 5ms }
traffic:
  - phase: p
    duration: 2s
    flows:
      - { name: rtt, from: a, to: b, tool: prober, interval: 20ms }
targets: [{ name: they reach each other, check: reachability }]
`,
  );
  const { status, stdout, stderr } = netrig(['run', topology, '--results', files.dir]);
  assert.equal(status, 0, stdout + stderr);
  const results = /evidence in (\S+)/.exec(stderr)?.[1] ?? '';
  const links = await readPart(join(results, 'cells/run/r1'), 'links');
  const of = (from: string) => links.find((l) => l.from === from) as LinkMeasurement;
  const near = (value: number | null, wanted: number, tolerance: number) =>
    assert.ok(value !== null && Math.abs(value - wanted) <= tolerance, `${value}, wanted ${wanted}`);
  near(of('a:fast').delayUs, 10_000, 1000);
  near(of('b:fast').delayUs, 30_000, 3000);
  near(of('a:fast').rateBps, 1e8, 5e6);
  near(of('b:fast').rateBps, 1e7, 5e5);
  // Order is kept: a packet never overtakes a delayed one, so dense traffic sees the upper part of the jitter.
  near(of('a:jitter').delayUs, 21_000, 3000);
  assert.ok((of('a:jitter').delayP90Us as number) > 22_500, 'the jitter is there');
  const lost = of('a:lossy').lossSent - of('a:lossy').lossReceived;
  assert.ok(lost > 0.02 * of('a:lossy').lossSent && lost < 0.09 * of('a:lossy').lossSent, `${lost} of ${of('a:lossy').lossSent}`);
  assert.equal(of('b:lossy').lossReceived, of('b:lossy').lossSent);
  const [phase] = await readPart(join(results, 'cells/run/r1'), 'phases');
  const rtts = (phase?.flows[0]?.rttUs ?? []).filter((us) => us !== null);
  assert.ok(
    rtts.length > 50 && Math.min(...rtts) >= 39_900 && Math.min(...rtts) <= 60_000,
    `the round trip is the sum of both ways: ${Math.min(...rtts)} us at least`,
  );
});

test('loss as reported is what captures at both ends show, with random losses, an outage and none', async () => {
  using files = scratch();
  const flows = [
    ['mgen', 'rate: 2Mbit, tool: mgen'],
    ['iperf', 'rate: 2Mbit, protocol: udp'],
    ['prober', 'tool: prober, interval: 5ms'],
  ] as const;
  // iperf3's client waits for ever when the greeting of its flow is lost, so that loss begins after it, on most machines.
  const phases = [
    ['none', ''],
    ['random', '{ at: 1s, impair: "a:e", loss: 10%, direction: out }'],
    ['outage', '{ at: 0s, impair: "a:e", loss: 0%, direction: out }, { at: 1s, down: "b:e", for: 700ms }'],
  ] as const;
  const topology = files.file(
    'lab.yaml',
    `
name: t-loss
saturation: 100%
topology:
  nodes: { a: , b: }
  links: [{ endpoints: ["a:e", "b:e"], delay: 1ms, reverse: { delay: 1ms } }]
traffic:
${phases.flatMap(([phase, events]) => flows.map(([name, keys]) => `  - { phase: ${phase}-${name}, duration: 3s, flows: [{ name: f, from: a, to: b, ${keys} }], events: [${events}] }`)).join('\n')}
capture: [{ at: "a:e", filter: udp }, { at: "b:e", direction: in, filter: udp }]
targets:
${phases.flatMap(([phase]) => flows.map(([name]) => `  - { name: ${phase} ${name}, check: loss, flow: f, phase: ${phase}-${name}, at-most: 100% }`)).join('\n')}
`,
  );
  const { stdout, stderr } = netrig(['run', topology, '--results', files.dir]);
  const folder = join(/evidence in (\S+)/.exec(stderr)?.[1] ?? '', 'cells/run/r1');
  const records = await readPart(folder, 'phases');
  assert.equal(records.length, 9, stdout + stderr);
  const startS = (record: PhaseRecord | undefined): number => (record ? Number(BigInt(record.startedNs) / 1000n) / 1e6 : Infinity);
  for (const [
    i,
    {
      phase,
      flows: [flow],
    },
  ] of records.entries()) {
    // One phase after the other, each with one flow; mgen starts by the millisecond.
    const [fromS, toS] = [startS(records[i]) - 0.01, startS(records[i + 1]) - 0.01];
    // Frames of the flow's own port; iperf3's first datagram is a greeting, which it does not count.
    const port = 5201;
    const seen = (file: string, end: 'sourcePort' | 'destinationPort') => {
      let count = 0;
      const headers = emptyHeaders();
      readCapture(join(folder, 'captures', file), (packet) => {
        const at = packet.seconds + packet.nanoseconds / 1e9;
        if (at >= fromS && at < toS && readHeaders(packet, headers) && headers[end] === port && packet.length > 60) count += 1;
      });
      return count;
    };
    // A request of the prober is lost where its answer is.
    const [sent, received] = [
      seen('a.e.pcap', 'destinationPort'),
      phase.endsWith('prober') ? seen('a.e.pcap', 'sourcePort') : seen('b.e.pcap', 'destinationPort'),
    ];
    const told = (flow?.datagrams ?? []).reduce((sum, d) => ({ sent: sum.sent + d.sent, lost: sum.lost + d.lost }), { sent: 0, lost: 0 });
    if (phase.endsWith('iperf') && sent === 0) {
      assert.ok(
        flow?.error !== undefined && flow.datagrams === undefined,
        `${phase}: the greeting was lost, and the flow says nothing of losses`,
      );
      continue;
    }
    assert.ok(sent > 200, `${phase}: ${sent} sent`);
    assert.deepEqual({ sent: told.sent, lost: told.lost }, { sent, lost: sent - received }, phase);
    if (phase.startsWith('none')) assert.equal(told.lost, 0, phase);
    else assert.ok(told.lost > 10, phase);
  }
});
