/** What a machine can do, and what to install: programs, kernel features, cores. */
import { join } from 'node:path';
import { hasLibpcap } from '../capture/libpcap/index.ts';
import { helpers, systemPackages } from '../core/paths.ts';
import { probeFabric } from '../fabric/capabilities.ts';
import type { Machine } from '../rig/machines/machine.ts';
import { probeNamespace } from '../rig/labs/probes.ts';
import { describeMachine } from './machine.ts';

export interface Finding {
  readonly what: string;
  /** limited: a real equivalent is used, or a feature is not available. */
  readonly state: 'ok' | 'limited' | 'missing';
  readonly found: string;
  readonly remedy: string;
}

const PROGRAMS: readonly (readonly [program: string, pkg: string, required: boolean, consequence: string])[] = [
  ['ip', 'iproute2', true, ''],
  ['tc', 'iproute2', true, ''],
  ['ss', 'iproute2', true, ''],
  ['ethtool', 'ethtool', true, ''],
  ['sysctl', 'procps', true, ''],
  ['chrt', 'util-linux', true, ''],
  ['ovs-vswitchd', 'openvswitch-switch', true, ''],
  ['ovsdb-server', 'openvswitch-switch', true, ''],
  ['nft', 'nftables', true, ''],
  ['iperf3', 'iperf3', true, ''],
  ['mgen', 'mgen', true, ''],
  ['tcpdump', 'tcpdump', true, ''],
  ['netperf', 'netperf', false, "in Debian's non-free component; flows with tool: netperf cannot run, iperf3 and the prober can"],
];

export async function examine(machine: Machine): Promise<Finding[]> {
  const findings: Finding[] = [];
  const root = (await machine.exec(['id', '-u'])).stdout.trim() === '0';
  findings.push({
    what: 'root',
    state: root ? 'ok' : 'missing',
    found: root ? 'yes' : 'no',
    remedy: root ? '' : 'network namespaces need root: sudo netrig …',
  });
  const paths = await findPrograms(
    machine,
    PROGRAMS.map(([program]) => program),
  );
  for (const [program, pkg, required, consequence] of PROGRAMS) {
    const path = paths.get(program);
    findings.push({
      what: program,
      state: path ? 'ok' : required ? 'missing' : 'limited',
      found: path ?? 'not installed',
      remedy: path ? '' : consequence || `apt install ${pkg}`,
    });
  }
  const needed = helpers();
  const built = await findPrograms(
    machine,
    needed.map((helper) => join(machine.runtime.nativeDir, helper.name)),
  );
  for (const { name, system } of needed) {
    const there = built.has(join(machine.runtime.nativeDir, name));
    const remedy = system === null ? 'npm run build' : `the system "${system}" cannot run: lab/setup.sh --with-${system}`;
    findings.push({
      what: `helper ${name}`,
      state: there ? 'ok' : system === null ? 'missing' : 'limited',
      found: there ? 'built' : 'not built',
      remedy: there ? '' : remedy,
    });
  }
  if (machine.isHere)
    findings.push({
      what: 'node-pcap',
      state: hasLibpcap() ? 'ok' : 'limited',
      found: hasLibpcap() ? 'built' : 'not built',
      remedy: hasLibpcap()
        ? ''
        : 'filters of captures are not checked before a run, netrig pcap --filter and netrig capture cannot decode: lab/setup.sh',
    });
  findings.push(...(await packageFindings(machine)));
  const info = await describeMachine(machine, { ovsKernel: false, netem: false });
  findings.push({
    what: 'cores',
    state: info.cores >= 2 ? 'ok' : 'limited',
    found: `${info.cores} × ${info.cpu}`,
    remedy: info.cores >= 2 ? '' : 'figures above some 50 Mbit/s will be inconclusive',
  });
  for (const [name, version] of Object.entries(info.versions))
    findings.push({ what: `version of ${name}`, state: 'ok', found: version, remedy: '' });
  if (root && paths.has('ip') && paths.has('tc')) findings.push(...(await kernelFindings(machine)));
  return findings;
}

/** Packages that agents of a system need to run there. */
async function packageFindings(machine: Machine): Promise<Finding[]> {
  const wanted = systemPackages();
  const { stdout } = await machine.exec(
    ['dpkg-query', '-W', '-f', '${Package} ${db:Status-Status}\\n', ...new Set([...wanted.values()].flat())],
    { allowFailure: true },
  );
  const installed = new Set(stdout.split('\n').flatMap((line) => (line.endsWith(' installed') ? [line.split(' ')[0] as string] : [])));
  return [...wanted].map(([system, packages]): Finding => {
    const missing = packages.filter((name) => !installed.has(name));
    const remedy = missing.length === 0 ? '' : `its agents cannot run there: apt-get install --no-install-recommends ${missing.join(' ')}`;
    return {
      what: `packages of ${system}`,
      state: missing.length === 0 ? 'ok' : 'limited',
      found: missing.length === 0 ? packages.join(', ') : `without ${missing.join(', ')}`,
      remedy,
    };
  });
}

/** Paths of those that are there. */
async function findPrograms(machine: Machine, programs: readonly string[]): Promise<Map<string, string>> {
  const { stdout } = await machine.exec([
    'sh',
    '-c',
    'PATH=$PATH:/usr/sbin:/sbin; for p; do printf "%s\t%s\n" "$p" "$(command -v "$p")"; done',
    'sh',
    ...programs,
  ]);
  return new Map(
    stdout
      .split('\n')
      .map((line) => line.split('\t') as [string, string | undefined])
      .filter((pair): pair is [string, string] => Boolean(pair[1])),
  );
}

async function kernelFindings(machine: Machine): Promise<Finding[]> {
  const fabric = await probeFabric(machine);
  const probe = probeNamespace('doctor');
  const feature = async (argv: readonly string[]) => (await machine.exec(argv, { allowFailure: true })).exitCode === 0;
  await machine.exec(['ip', 'netns', 'add', probe]);
  try {
    const qdisc = (name: string, ...more: string[]) => feature(['tc', '-n', probe, 'qdisc', 'replace', 'dev', 'lo', 'root', name, ...more]);
    const htb = await qdisc('htb');
    const fq = await qdisc('fq');
    const etf = await qdisc('etf', 'clockid', 'CLOCK_TAI', 'delta', '300000');
    const egress =
      (
        await machine.exec(['ip', 'netns', 'exec', probe, 'nft', '-f', '-'], {
          stdin: 'table netdev t {\n chain c {\n type filter hook egress device "lo" priority 0;\n }\n}\n',
          allowFailure: true,
        })
      ).exitCode === 0;
    const ptp = await feature(['sh', '-c', 'ls /dev/ptp* >/dev/null 2>&1']);
    return [
      {
        what: 'Open vSwitch datapath',
        state: fabric.ovsKernel ? 'ok' : 'limited',
        found: fabric.ovsKernel ? 'kernel' : 'userspace',
        remedy: fabric.ovsKernel ? '' : 'modprobe openvswitch, where the kernel has it; userspace forwards about 1 Gbit/s per core',
      },
      {
        what: 'HTB',
        state: htb ? 'ok' : 'missing',
        found: htb ? 'yes' : 'no',
        remedy: htb ? '' : 'a kernel with sch_htb: links cannot be shaped',
      },
      {
        what: 'netem',
        state: fabric.netem ? 'ok' : 'limited',
        found: fabric.netem ? 'yes' : 'no',
        remedy: fabric.netem ? '' : 'delay, jitter and loss are made by native/delayline instead',
      },
      {
        what: 'fq, etf',
        state: fq && etf ? 'ok' : 'limited',
        found: [fq ? 'fq' : '', etf ? 'etf' : ''].filter(Boolean).join(', ') || 'neither',
        remedy: fq && etf ? '' : 'packets are released from user space',
      },
      {
        what: 'nftables egress hook',
        state: egress ? 'ok' : 'missing',
        found: egress ? 'yes' : 'no',
        remedy: egress ? '' : 'Gatekeeper needs Linux 5.16 or later with CONFIG_NETFILTER_EGRESS',
      },
      {
        what: 'hardware timestamps',
        state: ptp ? 'ok' : 'limited',
        found: ptp ? 'PTP clock device' : 'no PTP clock device',
        remedy: ptp ? '' : 'software timestamps',
      },
    ];
  } finally {
    await machine.exec(['ip', 'netns', 'del', probe], { allowFailure: true });
  }
}
