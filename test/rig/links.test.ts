/** Emulated links are what the file says: delay, jitter, loss, rate, each direction by itself; linktest sees it and packets feel it. */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import test from 'ava';
import type { LinkMeasurement } from '../../src/fabric/linktest.ts';
import { netrig, scratch } from '../support/netrig.ts';

test('delay, jitter, loss and rate per direction; a prober over the same links agrees', () => {
  using files = scratch();
  const topology = files.file('lab.yaml', `
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
targets:
  - { name: round trip is the sum, check: latency, flow: rtt, quantile: 50%, at-least: 39ms, at-most: 60ms }
  - { name: nothing is lost, check: loss, flow: rtt, at-most: 20% }
`);
  const { status, stdout, stderr } = netrig(['run', topology, '--results', files.dir]);
  assert.equal(status, 0, stdout + stderr);
  const results = /evidence in (\S+)/.exec(stderr)?.[1] ?? '';
  const links = JSON.parse(readFileSync(join(results, 'cells/run/r1/links.json'), 'utf8')) as LinkMeasurement[];
  const of = (from: string) => links.find((l) => l.from === from) as LinkMeasurement;
  const near = (value: number | null, wanted: number, tolerance: number) => assert.ok(value !== null && Math.abs(value - wanted) <= tolerance, `${value}, wanted ${wanted}`);
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
});
