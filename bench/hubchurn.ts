/**
 * A million questions while a network leaves its hub and comes back under other addresses, another one comes and goes, and decision
 * nodes fall silent: does an answer lead anywhere but where it should? Beside it a proxy that changes answers, and is told a second late.
 */
import { once } from 'node:events';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { DeployedLab } from '../src/rig/deployment/deployed-lab.ts';
import type { Supervisor } from '../src/systems/supervisor.ts';
import { ROW, type Asked } from './asker.ts';
import { withLab } from './lab.ts';
import { print } from './measure.ts';

const QUESTIONS = 1_000_000;
const CONTROL_QUESTIONS = 100_000;
const PAUSE_MS = 300;
const LATE_MS = 1000;
/** A host that is there answers within this. */
const REACH_MS = 100;
const MOST_MS = 500_000;
const [SERVER, PROXY] = ['10.3.0.53', '100.64.0.42'];
const PREFIXES = ['12.7', '12.8'] as const;
const DIR = '/run/netrig/bench-hub';

const RECORDS = Array.from({ length: 200 }, (_, i) => `"h${i} A 192.168.1.${1 + i}"`);
const LAB = `name: bench-hub
topology:
  defaults: { privileged: true }
  nodes:
    hub: { kind: bridge }
    an: { interfaces: { eth0: { address: 100.64.0.10/24 } } }
    d1: { interfaces: { eth0: { address: 100.64.0.11/24 } } }
    d2: { interfaces: { eth0: { address: 100.64.0.12/24 } } }
    a1: { interfaces: { eth0: { address: 100.64.0.21/24 } } }
    a2: { interfaces: { eth0: { address: 100.64.0.22/24 } } }
    p: { interfaces: { eth0: { address: ${PROXY}/24 } }, exec: [ip route add 10.3.0.0/24 via 100.64.0.33, ip route add 198.18.0.0/16 via 100.64.0.32] }
    gb: { interfaces: { hub: { address: 100.64.0.32/24 }, lan: { address: 192.168.1.254/24 } }, exec: [ip route add 198.18.0.0/16 via 192.168.1.1] }
    gc: { interfaces: { hub: { address: 100.64.0.33/24 }, names: { address: 10.3.0.254/24 }, lan: { address: 192.168.1.254/24 } } }
    gd: { interfaces: { hub: { address: 100.64.0.34/24 } } }
    b1: { interfaces: { eth0: { address: 192.168.1.1/24 } }, exec: [ip address add 198.18.0.1/32 dev lo, ip route add 100.64.0.0/24 via 192.168.1.254 src 198.18.0.1] }
    cn: { interfaces: { eth0: { address: ${SERVER}/24 } } }
    c9: { interfaces: { eth0: { address: 192.168.1.9/24 } } }
  links:
    - { endpoints: ["an:eth0", "hub:an"] }
    - { endpoints: ["d{1..2}:eth0", "hub:d{1..2}"] }
    - { endpoints: ["a{1..2}:eth0", "hub:a{1..2}"] }
    - { endpoints: ["p:eth0", "hub:p"] }
    - { endpoints: ["gb:hub", "hub:gb"] }
    - { endpoints: ["gc:hub", "hub:gc"] }
    - { endpoints: ["gd:hub", "hub:gd"] }
    - { endpoints: ["b1:eth0", "gb:lan"] }
    - { endpoints: ["cn:eth0", "gc:names"] }
    - { endpoints: ["c9:eth0", "gc:lan"] }
systems:
  hub:
    on: [an, d1, d2, a1, a2, gb, gc, gd, b1, cn, c9]
    config:
      control: an
      dmns: [d1, d2]
      ains: { a1: {}, a2: {} }
      silence: 2s
      networks:
        B: { gateway: gb, prefixes: [192.168.1.0/24], hosts: [b1] }
        C: { gateway: gc, prefixes: [10.3.0.0/24, 192.168.1.0/24], hosts: [cn, c9], names: { server: cn, zone: c.example, records: [${RECORDS.join(', ')}] } }
        D: { gateway: gd, prefixes: [192.168.1.0/24] }
      setup:
        - { operation: CreateVTHRoutingDomain, params: { domain: main } }
        - { operation: AttachIsolatedNetwork, params: { network: B, mappings: [{ real: 192.168.1.0/24, as: 12.6.1.0/24 }] } }
        - { operation: AttachIsolatedNetwork, params: { network: C, mappings: [{ real: 192.168.1.0/24, as: ${PREFIXES[0]}.1.0/24 }] } }
        - { operation: ShareDNSInfo, params: { networks: [B, C] } }
`;

/** null: the network is away. Milliseconds since the epoch, of the request and of its answer. */
interface Step {
  readonly prefix: number | null;
  readonly startMs: number;
  readonly doneMs: number;
}
const numberOf = (prefix: string): number => {
  const [a = 0, b = 0] = prefix.split('.').map(Number);
  return a * 256 + b;
};

export async function benchHubChurn(): Promise<void> {
  await withLab(LAB, async (deployed, _lab, agents) => {
    const hub = await askThrough(deployed, agents!, SERVER, QUESTIONS);
    const proxy = await startLateProxy(deployed);
    const late = await askThrough(deployed, agents!, PROXY, CONTROL_QUESTIONS, proxy.tell);
    await proxy.stop();
    print(
      ['answers by', 'answered', 'unanswered', 'failed', 'changes of the hub', 'wrong answers', 'new prefixes, of them lead nowhere'],
      [
        ['hub', ...hub],
        ['a proxy that is told a second late (control)', ...late],
      ],
    );
  });
}

/** Asks while the hub changes. `tell`: who answers besides is told where the network is now. */
async function askThrough(
  deployed: DeployedLab,
  agents: Supervisor,
  server: string,
  questions: number,
  tell: (prefix: number) => void = () => undefined,
): Promise<string[]> {
  const file = `${DIR}/answers`;
  const asking = { isOver: false };
  const command = [process.execPath, join(import.meta.dirname, 'asker.ts'), server, String(questions), file];
  const asker = deployed
    .node('b1')
    .exec(command, { timeoutMs: MOST_MS })
    .finally(() => {
      asking.isOver = true;
    });
  const steps: Step[] = [];
  const change = async (prefix: number | null, ...requests: readonly (readonly [string, Readonly<Record<string, unknown>>])[]) => {
    const startMs = Date.now();
    for (const [operation, params] of requests) {
      const { refused } = await agents.request('hub', 'an', operation, params);
      if (refused !== null) throw new Error(`${operation} was refused: ${JSON.stringify(refused)}`);
    }
    steps.push({ prefix, startMs, doneMs: Date.now() });
  };
  const detach = ['DetachIsolatedNetwork', { network: 'C' }] as const;
  const attach = (as: string) =>
    ['AttachIsolatedNetwork', { network: 'C', mappings: [{ real: '192.168.1.0/24', as: `${as}.1.0/24` }] }] as const;
  const other = { network: 'D', mappings: [{ real: '192.168.1.0/24', as: '12.9.1.0/24' }] };
  await change(null, detach);
  for (let i = 0; !asking.isOver; i++) {
    const as = PREFIXES[i % PREFIXES.length]!;
    await change(numberOf(as), attach(as));
    tell(numberOf(as));
    await sleep(PAUSE_MS);
    if (i % 4 === 1) await agents.request('hub', 'an', 'AttachIsolatedNetwork', other);
    if (i % 4 === 3) await agents.request('hub', 'an', 'DetachIsolatedNetwork', { network: 'D' });
    const silent = i % 10 === 5 ? (i % 20 === 5 ? 'd1' : 'd2') : undefined;
    if (silent !== undefined) agents.pause(silent);
    await sleep(PAUSE_MS);
    if (silent !== undefined) agents.resume(silent);
    await change(null, detach);
  }
  await change(numberOf(PREFIXES[0]), attach(PREFIXES[0]));
  const told = JSON.parse((await asker).stdout) as Asked;
  const rows = await deployed.node('b1').get(file);
  const numbers = new Float64Array(rows.buffer, rows.byteOffset, rows.length / 8);
  const nowhere = told.changes.filter((c) => !c.reached && !mayHaveGone(steps, c.atMs)).length;
  return [
    String(numbers.length / ROW),
    String(told.unanswered),
    String(told.failed),
    String(steps.length),
    String(wrongAnswers(steps, numbers)),
    `${told.changes.length}, ${nowhere}`,
  ];
}

/** Of questions that were asked after a change was done, and answered before the next one began. */
function wrongAnswers(steps: readonly Step[], numbers: Float64Array): number {
  let wrong = 0;
  for (let i = 0; i < numbers.length; i += ROW) {
    const [sentMs = 0, cameMs = 0, prefix] = numbers.subarray(i, i + ROW);
    const at = steps.findLastIndex((s) => s.doneMs <= sentMs);
    const [now, next] = [steps[at], steps[at + 1]];
    if (now && (!next || next.startMs > cameMs) && now.prefix !== prefix) wrong += 1;
  }
  return wrong;
}

/** The host had as long as a probe waits before its network went. */
const mayHaveGone = (steps: readonly Step[], atMs: number): boolean =>
  steps.some((s) => s.prefix === null && s.doneMs > atMs && s.startMs < atMs + REACH_MS);

async function startLateProxy(deployed: DeployedLab): Promise<{ tell: (prefix: number) => void; stop: () => Promise<void> }> {
  const proxy = deployed.node('p').spawn([process.execPath, join(import.meta.dirname, 'lateproxy.ts'), PROXY, SERVER]);
  proxy.stderr.resume();
  await once(proxy.stdout, 'data');
  return {
    tell: (prefix) => void sleep(LATE_MS).then(() => proxy.stdin.write(`${prefix}\n`)),
    stop: async () => {
      proxy.kill('SIGTERM');
      await proxy.exited;
    },
  };
}
