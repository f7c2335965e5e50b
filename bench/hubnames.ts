/**
 * What a rewritten answer of a name server costs (R1-37): by the hub, by CoreDNS and by dnsdist, over the same names and the same BIND,
 * in turns; by a plain router for comparison, which changes nothing. dnsdist changes times to live: its rules reach no address.
 */
import { readFileSync, writeFileSync } from 'node:fs';
import { sleep } from '../src/core/context.ts';
import type { DeployedLab } from '../src/rig/deployment/deployed-lab.ts';
import type { HostProcess } from '../src/rig/hosts/host.ts';
import { busyMs, processesOf, programNs, spentMs } from './cpu.ts';
import { withLab } from './lab.ts';
import { isThere, print, show } from './measure.ts';

const NAMES = 1000;
const REPEATS = 6;
const SECONDS = 4;
const STATS = '/proc/sys/kernel/bpf_stats_enabled';
const SERVER = '10.3.0.53';
const PROXY = '100.64.0.42';
const CLIENT = '198.18.0.1';
/** It is read again and again: no pipe. */
const QUESTIONS = '/run/netrig/bench-hub/questions';

const RECORDS = Array.from({ length: NAMES }, (_, i) => `"h${i} A 10.3.0.${1 + (i % 250)}"`);
const LAB = `name: bench-hub
topology:
  defaults: { privileged: true }
  nodes:
    hub: { kind: bridge }
    an: { interfaces: { eth0: { address: 100.64.0.10/24 } } }
    d1: { interfaces: { eth0: { address: 100.64.0.11/24 } } }
    a1: { interfaces: { eth0: { address: 100.64.0.21/24 } } }
    gb: { interfaces: { hub: { address: 100.64.0.32/24 }, lan: { address: 192.168.1.254/24 } }, exec: [ip route add 10.3.0.0/24 via 100.64.0.41, ip route add 198.18.0.0/16 via 192.168.1.1] }
    gc: { interfaces: { hub: { address: 100.64.0.33/24 }, lan: { address: 10.3.0.254/24 } }, exec: [ip route add 198.18.0.0/16 via 100.64.0.41] }
    r: { interfaces: { eth0: { address: 100.64.0.41/24 } }, sysctls: { net.ipv4.ip_forward: 1 }, exec: [ip route add 10.3.0.0/24 via 100.64.0.33, ip route add 198.18.0.0/16 via 100.64.0.32] }
    p: { interfaces: { eth0: { address: ${PROXY}/24 } }, exec: [ip route add 10.3.0.0/24 via 100.64.0.33, ip route add 198.18.0.0/16 via 100.64.0.32] }
    lb: { kind: bridge }
    lc: { kind: bridge }
    b1: { interfaces: { eth0: { address: 192.168.1.1/24 } }, exec: [ip address add ${CLIENT}/32 dev lo, ip route add 10.3.0.0/24 via 192.168.1.254, ip route add 100.64.0.0/24 via 192.168.1.254] }
    cn: { interfaces: { eth0: { address: ${SERVER}/24 } } }
  links:
    - { endpoints: ["an:eth0", "hub:an"] }
    - { endpoints: ["d1:eth0", "hub:d1"] }
    - { endpoints: ["a1:eth0", "hub:a1"] }
    - { endpoints: ["r:eth0", "hub:r"] }
    - { endpoints: ["p:eth0", "hub:p"] }
    - { endpoints: ["gb:hub", "hub:gb"] }
    - { endpoints: ["gc:hub", "hub:gc"] }
    - { endpoints: ["gb:lan", "lb:gw"] }
    - { endpoints: ["gc:lan", "lc:gw"] }
    - { endpoints: ["b1:eth0", "lb:h"] }
    - { endpoints: ["cn:eth0", "lc:n"] }
systems:
  hub:
    on: [an, d1, a1, gb, gc, b1, cn]
    config:
      control: an
      dmns: [d1]
      ains: { a1: {} }
      networks:
        B: { gateway: gb, prefixes: [192.168.1.0/24], hosts: [b1] }
        C: { gateway: gc, prefixes: [10.3.0.0/24], hosts: [cn], names: { server: cn, zone: c.example, records: [${RECORDS.join(', ')}] } }
      setup:
        - { operation: CreateVTHRoutingDomain, params: { domain: main } }
        - { operation: AttachIsolatedNetwork, params: { network: B } }
        - { operation: AttachIsolatedNetwork, params: { network: C, mappings: [{ real: 10.3.0.0/24, as: 12.7.1.0/24 }] } }
        - { operation: ShareDNSInfo, params: { networks: [B, C] } }
`;

const COREDNS_REWRITES = `.:53 {\n bind ${PROXY}\n rewrite ttl regex .* 30\n forward . ${SERVER}\n}\n`;
const COREDNS_TEMPLATE = `.:53 {\n bind ${PROXY}\n template IN A {\n  answer "{{ .Name }} 30 IN A 12.7.1.1"\n }\n}\n`;
const DNSDIST = `setLocal("${PROXY}:53")
setACL("0.0.0.0/0")
newServer({ address = "${SERVER}:53", healthCheckMode = "up" })
addResponseAction(AllRule(), LuaResponseAction(function(answer)
  answer:editTTLs(function() return 30 end)
  return DNSResponseAction.None, ""
end))
`;

interface Way {
  readonly name: string;
  readonly asks: string;
  readonly from: string;
  /** Nodes whose CPU is that of what rewrites. */
  readonly spends: readonly string[];
  readonly proxy?: readonly [program: string, args: (config: string) => readonly string[], config: string];
  /** What its answers say of h0: they are what is timed. */
  readonly answer: RegExp;
}
const CHANGED = /12\.7\.1\.1/;
const SHORT = /\b30\b.*10\.3\.0\.1/;
const WAYS: readonly Way[] = [
  { name: 'plain routing', asks: SERVER, from: CLIENT, spends: ['r'], answer: /3600.*10\.3\.0\.1/ },
  { name: 'hub', asks: '12.7.1.53', from: '192.168.1.1', spends: ['a1', 'd1'], answer: CHANGED },
  {
    name: 'CoreDNS, forward and rewrite',
    asks: PROXY,
    from: CLIENT,
    spends: ['p'],
    proxy: ['coredns', (c) => ['-quiet', '-conf', c], COREDNS_REWRITES],
    answer: SHORT,
  },
  {
    name: 'CoreDNS, template',
    asks: PROXY,
    from: CLIENT,
    spends: ['p'],
    proxy: ['coredns', (c) => ['-quiet', '-conf', c], COREDNS_TEMPLATE],
    answer: CHANGED,
  },
  {
    name: 'dnsdist, rule',
    asks: PROXY,
    from: CLIENT,
    spends: ['p'],
    proxy: ['dnsdist', (c) => ['--supervised', '--disable-syslog', '--config', c], DNSDIST],
    answer: SHORT,
  },
];

interface Figures {
  readonly perSecond: number;
  readonly ownUs: number;
  readonly machineUs: number;
}

export async function benchHubNames(): Promise<void> {
  if (!isThere('dnsperf', ['-h'], 'apt install dnsperf')) return;
  const ways = WAYS.filter(({ proxy }) => !proxy || isThere(proxy[0], ['--version'], HOW_TO_GET[proxy[0]] ?? ''));
  const before = readFileSync(STATS, 'utf8');
  writeFileSync(STATS, '1');
  try {
    await withLab(LAB, async (deployed) => {
      await deployed.node('b1').put(QUESTIONS, Array.from({ length: NAMES }, (_, i) => `h${i}.c.example A\n`).join(''));
      const figures = new Map(ways.map((w) => [w.name, [] as Figures[]]));
      for (let i = 0; i < REPEATS; i++) for (const way of ways) figures.get(way.name)!.push(await measure(deployed, way));
      print(
        ['answers by', 'a second', 'CPU of what rewrites [us an answer]', 'CPU of the machine [us an answer]'],
        ways.map(({ name }) => {
          const own = figures.get(name)!;
          return [
            name,
            show(
              own.map((f) => f.perSecond),
              0,
            ),
            show(own.map((f) => f.ownUs)),
            show(
              own.map((f) => f.machineUs),
              1,
            ),
          ];
        }),
      );
    });
  } finally {
    writeFileSync(STATS, before);
  }
}

const HOW_TO_GET: Readonly<Record<string, string>> = {
  coredns: 'go install github.com/coredns/coredns@latest, and put it on the PATH',
  dnsdist: 'apt install dnsdist',
};

async function measure(deployed: DeployedLab, way: Way): Promise<Figures> {
  const proxy = way.proxy ? await startProxy(deployed, way.proxy) : undefined;
  try {
    await answers(deployed, way);
    const pids = (await Promise.all(way.spends.map((node) => processesOf(deployed.node(node))))).flat();
    const spent = (): number => spentMs(pids) * 1e3 + programNs(pids) / 1e3;
    const [own, busy] = [spent(), busyMs()];
    const dnsperf = ['dnsperf', '-s', way.asks, '-a', way.from, '-l', String(SECONDS), '-c', '8', '-q', '64', '-d', QUESTIONS];
    const { stdout } = await deployed.node('b1').exec(dnsperf, { timeoutMs: 1000 * (SECONDS + 20) });
    const figure = (what: string): number => Number(new RegExp(`${what}:\\s+([\\d.]+)`).exec(stdout)?.[1]);
    const [completed, lost] = [figure('Queries completed'), figure('Queries lost')];
    if (!(completed > 0)) throw new Error(`${way.name}: no answers\n${stdout}`);
    if (lost > completed / 1000) throw new Error(`${way.name}: ${lost} queries of ${completed} were lost`);
    return {
      perSecond: figure('Queries per second'),
      ownUs: (spent() - own) / completed,
      machineUs: (1e3 * (busyMs() - busy)) / completed,
    };
  } finally {
    proxy?.kill('SIGTERM');
    await proxy?.exited;
  }
}

async function startProxy(deployed: DeployedLab, [program, args, config]: NonNullable<Way['proxy']>): Promise<HostProcess> {
  const node = deployed.node('p');
  const file = `/run/netrig/bench-hub/${program}.conf`;
  await node.put(file, config);
  const proxy = node.spawn([program, ...args(file)]);
  proxy.stdout.resume();
  proxy.stderr.resume();
  return proxy;
}

/** Until it answers as it should: what is timed afterwards is that, and no error. */
async function answers(deployed: DeployedLab, { name, asks, from, answer }: Way): Promise<void> {
  let last = '';
  for (let i = 0; i < 50; i++) {
    const ask = ['dig', '-b', from, `@${asks}`, '+noall', '+answer', '+time=1', '+tries=1', 'h0.c.example'];
    last = (await deployed.node('b1').exec(ask, { allowFailure: true })).stdout;
    if (answer.test(last)) return;
    await sleep(100);
  }
  throw new Error(`${name} does not answer as it should: ${last}`);
}
