/** R1-16 on a real link: whichever processor sends a flow's packets, one processor of the AIN executes them. */
import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { join } from 'node:path';
import test from 'ava';
import { execa } from 'execa';
import { encodeOps, writeFlow } from '../../agents/hub/decision/wire.ts';
import { branchMac } from '../../agents/hub/model.ts';
import { startFastPath } from '../../agents/hub/nodes/ain.ts';
import { parseAddress } from '../../agents/lib/prefix.ts';
import { BUILD_DIR } from '../../src/core/paths.ts';

const [AIN, SENDER] = [`t-hubw-a-${process.pid}`, `t-hubw-s-${process.pid}`];
const [GATEWAY, OTHER] = ['02:00:00:00:00:0a', '02:00:00:00:00:0b'];
const [SOURCE, DESTINATION, SOURCE_PORT, PORT] = ['192.168.1.1', '172.16.5.5', 40_000, 7070];
const PACKETS = 20;

const ip = (...words: string[]) => execa('ip', words);
const within = (namespace: string, ...words: string[]) => execa('ip', ['netns', 'exec', namespace, ...words]);

/** Datagrams of one flow from a processor. */
const SEND = `const s = require('node:dgram').createSocket('udp4');
s.bind(${SOURCE_PORT}, '${SOURCE}', async () => {
  for (let i = 0; i < ${PACKETS}; i++) await new Promise((r) => s.send('x', ${PORT}, '${DESTINATION}', r));
  s.close();
});`;
const sendFrom = (processor: number) => within(SENDER, 'taskset', '-c', String(processor), process.execPath, '-e', SEND);

const skip = existsSync(join(BUILD_DIR, 'ain')) && availableParallelism() > 1 ? test : test.skip;
skip('R1-16 one worker executes all packets of a flow; what comes to another one is handed over, or strays (control)', async () => {
  try {
    for (const namespace of [AIN, SENDER]) await ip('netns', 'add', namespace);
    await ip('-n', AIN, 'link', 'add', 'v0', 'type', 'veth', 'peer', 'name', 'v1', 'netns', SENDER);
    await ip('-n', SENDER, 'link', 'set', 'v1', 'address', GATEWAY);
    await ip('-n', SENDER, 'address', 'add', `${SOURCE}/24`, 'dev', 'v1');
    for (const [namespace, device] of [
      [AIN, 'v0'],
      [SENDER, 'v1'],
    ] as const)
      await ip('-n', namespace, 'link', 'set', device, 'up');
    await ip('-n', SENDER, 'neighbour', 'add', '192.168.1.9', 'lladdr', branchMac(1, 1), 'dev', 'v1');
    await ip('-n', SENDER, 'route', 'add', '172.16.5.0/24', 'via', '192.168.1.9');
    const path = await startFastPath(BUILD_DIR, 1000, ['ip', 'netns', 'exec', AIN]);
    try {
      await path.ask('settings', 1, 'ab'.repeat(32), 7802, 60_000, 60_000, 100_000, 10_000);
      await path.ask('attach', 'v0');
      await path.ask('branch', branchMac(1, 1), 1, GATEWAY);
      await path.ask('branch', branchMac(1, 2), 2, OTHER);
      await path.ask('domain', 1, 5);
      const flow = writeFlow({
        network: 1,
        family: 4,
        protocol: 17,
        isFragment: false,
        sourcePort: SOURCE_PORT,
        destinationPort: PORT,
        source: parseAddress(SOURCE)!,
        destination: parseAddress(DESTINATION)!,
      });
      const ops = encodeOps([
        { op: 'hop' },
        { op: 'output', to: OTHER, from: branchMac(1, 2), network: 2 },
        { op: 'valid', domain: 1, generation: 5 },
      ]);
      await path.ask('action', flow.toString('hex'), ops.toString('hex'));
      for (const processor of [0, 1]) await sendFrom(processor);
      const steered = await path.counts('tally', 1);
      assert.deepEqual([steered['in'], steered['hits'], steered['steered'], steered['strayed']], [2 * PACKETS, 2 * PACKETS, PACKETS, 0]);

      await within(AIN, 'sh', '-c', 'echo 0 > /sys/class/net/worker0/queues/rx-0/rps_cpus');
      for (const processor of [0, 1]) await sendFrom(processor);
      const unsteered = await path.counts('tally', 1);
      assert.deepEqual([unsteered['hits'], unsteered['strayed']], [4 * PACKETS, PACKETS]);
    } finally {
      await path.stop();
    }
  } finally {
    for (const namespace of [AIN, SENDER]) await ip('netns', 'delete', namespace).catch(() => undefined);
  }
});
