/** Rig file to the machines it names, or one error that lists every problem. */
import { homedir, userInfo } from 'node:os';
import { DEFAULT_ENGINE } from './images/docker/sockets.ts';
import { basename, dirname, resolve } from 'node:path';
import { NetrigError } from '../core/errors.ts';
import { parseDurationUs, parseFraction, parseSizeBytes } from '../core/units.ts';
import type { SyncKind } from '../topology/model.ts';
import { invalid, type Problem } from '../core/config/problems.ts';
import { problemsOf } from '../core/config/validate.ts';
import { isMapping, parseYaml, readSource, type FileCodes } from '../core/config/yaml.ts';
import { rigSchema, type HostFile, type RigFile, type SshFile } from './schema.ts';

export interface SshAccess {
  readonly address: string;
  readonly port: number;
  readonly user: string;
  /** null: the SSH agent's keys, then the usual files. */
  readonly keyFile: string | null;
  /** "ssh-ed25519 AAAA…"; null: known_hosts decides. */
  readonly hostKey: string | null;
  readonly knownHosts: string;
  readonly jump: string | null;
  readonly sudo: boolean;
}

export type Access =
  | { readonly kind: 'local' }
  | { readonly kind: 'ssh'; readonly ssh: SshAccess }
  | { readonly kind: 'vm'; readonly memoryBytes: number; readonly cores: number; readonly sharedPage: boolean };

export interface RigHost {
  readonly name: string;
  readonly access: Access;
  readonly carries: 'namespaces' | 'containers' | 'one-node';
  /** Socket of the engine, or "own". */
  readonly engine: string;
  readonly image: string | null;
  readonly labels: Readonly<Record<string, string>>;
  readonly data: { readonly device: string; readonly address: string | null } | null;
  readonly stateRoot: string | null;
  readonly clockDevice: string | null;
}

/** Two NICs and what is plugged into both. */
export interface Cable {
  readonly ends: readonly [{ readonly host: string; readonly nic: string }, { readonly host: string; readonly nic: string }];
}

export interface RigPlan {
  readonly name: string;
  readonly path: string;
  readonly hosts: readonly RigHost[];
  readonly cables: readonly Cable[];
  /** Beyond what topologies tolerate. */
  readonly tolerance: { readonly rate: number; readonly delayUs: number };
  readonly sync: SyncKind;
  /** For variables of topologies that declare them. */
  readonly vars: Readonly<Record<string, string>>;
  /** Whose clock the others follow. */
  readonly grandmaster: string;
}

const CODES: FileCodes = { unreadable: 'RIG_UNREADABLE', syntax: 'RIG_SYNTAX' };

export async function loadRig(path: string): Promise<RigPlan> {
  return parseRig(resolve(path), await readSource(path, CODES));
}

export function parseRig(path: string, source: string): RigPlan {
  const { raw, document } = parseYaml(path, source, CODES);
  const problems: Problem[] = isMapping(raw)
    ? problemsOf(rigSchema, raw, 'rig')
    : [{ path: [], message: 'expected a mapping with "name" and "hosts"', hint: 'see lab/rigs/vm-3.yaml' }];
  const plan = problems.length === 0 ? resolveRig(path, raw as RigFile, problems) : null;
  if (plan === null || problems.length > 0) {
    throw invalid(
      path,
      problems.map((p) => ({ ...document.locate(p.path, p.atKey), message: p.message, ...(p.hint ? { hint: p.hint } : {}) })),
      'RIG_INVALID',
    );
  }
  return plan;
}

function resolveRig(path: string, file: RigFile, problems: Problem[]): RigPlan {
  const hosts = Object.entries(file.hosts).map(([name, host]) => resolveHost(path, name, host, file, problems));
  const leaders = Object.entries(file.hosts).filter(([, host]) => host.clock?.grandmaster);
  if (leaders.length > 1)
    problems.push({ path: ['hosts', (leaders[1] as [string, HostFile])[0], 'clock', 'grandmaster'], message: 'a rig has one grandmaster' });
  return {
    name: file.name,
    path,
    hosts,
    cables: resolveCables(file, problems),
    sync: file.sync ?? 'ptp',
    vars: Object.fromEntries(Object.entries(file.vars ?? {}).map(([key, value]) => [key, String(value)])),
    tolerance: {
      rate: parseFraction(file.linktest?.['rate-tolerance'] ?? '0%'),
      delayUs: parseDurationUs(file.linktest?.['delay-tolerance'] ?? '0us'),
    },
    grandmaster: leaders[0]?.[0] ?? (hosts[0] as RigHost).name,
  };
}

function resolveHost(path: string, name: string, host: HostFile, rig: RigFile, problems: Problem[]): RigHost {
  const { defaults } = rig;
  const at = ['hosts', name];
  const ways = (['ssh', 'vm', 'local'] as const).filter((way) => host[way] !== undefined);
  if (ways.length > 1)
    problems.push({ path: at, message: `host "${name}" is reached by ${ways.join(' and ')}`, hint: 'one of ssh, vm, local' });
  const way = ways[0] ?? (defaults?.vm && !defaults.ssh ? 'vm' : defaults?.ssh ? 'ssh' : undefined);
  if (way === undefined)
    problems.push({ path: at, message: `nothing says how "${name}" is reached`, hint: 'ssh: { address: … }, vm: {} or local: true' });
  if (host.engine === 'own' && way !== 'local')
    problems.push({
      path: [...at, 'engine'],
      message: 'netrig starts an engine of its own on this machine only',
      hint: 'local: true, or the socket of the engine there',
    });
  if (host.carries === 'containers' && way === 'vm')
    problems.push({ path: [...at, 'carries'], message: 'the image of virtual machines has no Docker Engine', hint: 'namespaces' });
  return {
    name,
    access: resolveAccess(path, name, way ?? 'local', host, rig, problems),
    carries: host.carries ?? 'namespaces',
    engine: host.engine ?? DEFAULT_ENGINE,
    image: host.image ?? null,
    labels: host.labels ?? {},
    data: host.data
      ? { device: host.data.device, address: host.data.address ?? null }
      : way === 'vm'
        ? { device: VM_DATA_DEVICE, address: null }
        : null,
    stateRoot: host.state ?? null,
    clockDevice: host.clock?.device ?? host.data?.device ?? (way === 'vm' ? VM_DATA_DEVICE : null),
  };
}

/** Data NIC of a virtual machine that netrig boots. */
export const VM_DATA_DEVICE = 'data0';
const VM_MEMORY = '768MiB';

function resolveAccess(
  path: string,
  name: string,
  way: 'ssh' | 'vm' | 'local',
  host: HostFile,
  { defaults, hosts }: RigFile,
  problems: Problem[],
): Access {
  if (way === 'local') return { kind: 'local' };
  if (way === 'vm') {
    const vm = { ...defaults?.vm, ...host.vm };
    return {
      kind: 'vm',
      memoryBytes: parseSizeBytes(vm.memory ?? VM_MEMORY),
      cores: vm.cores ?? 1,
      sharedPage: vm['shared-page'] ?? false,
    };
  }
  const ssh: SshFile = { ...defaults?.ssh, ...host.ssh };
  const at = ['hosts', name, 'ssh'];
  if (ssh.address === undefined) problems.push({ path: at, message: `no address for "${name}"`, hint: 'ssh: { address: 192.0.2.11 }' });
  if (ssh.jump !== undefined && (ssh.jump === name || hosts[ssh.jump]?.ssh === undefined))
    problems.push({ path: [...at, 'jump'], message: `"${ssh.jump}" is not another host of this file that is reached over SSH` });
  return {
    kind: 'ssh',
    ssh: {
      address: ssh.address ?? '',
      port: ssh.port ?? 22,
      user: ssh.user ?? userInfo().username,
      keyFile: ssh.key === undefined ? null : expand(path, ssh.key),
      hostKey: ssh['host-key'] ?? null,
      knownHosts: expand(path, ssh['known-hosts'] ?? '~/.ssh/known_hosts'),
      jump: ssh.jump ?? null,
      sudo: ssh.sudo ?? false,
    },
  };
}

/** Relative to the rig file, "~" to the home of the user. */
const expand = (rigPath: string, file: string): string =>
  file.startsWith('~/') ? resolve(homedir(), file.slice(2)) : resolve(dirname(rigPath), file);

function resolveCables(file: RigFile, problems: Problem[]): Cable[] {
  const cables: Cable[] = [];
  for (const [host, { nics }] of Object.entries(file.hosts)) {
    for (const [nic, { cable }] of Object.entries(nics ?? {})) {
      const [farHost, farNic] = cable.split(':') as [string, string];
      const back = file.hosts[farHost]?.nics?.[farNic]?.cable;
      if (back !== `${host}:${nic}`)
        problems.push({
          path: ['hosts', host, 'nics', nic, 'cable'],
          message: back === undefined ? `no NIC ${cable} in this file` : `${cable} is cabled to ${back}`,
          hint: `hosts.${farHost}.nics.${farNic}.cable: "${host}:${nic}"`,
        });
      else if (`${host}:${nic}` < cable)
        cables.push({
          ends: [
            { host, nic },
            { host: farHost, nic: farNic },
          ],
        });
    }
  }
  return cables;
}

export function findHost(rig: RigPlan, name: string): RigHost {
  const host = rig.hosts.find((h) => h.name === name);
  if (!host)
    throw new NetrigError('USAGE', `rig "${rig.name}" has no host "${name}"`, {
      hint: `hosts of ${basename(rig.path)}: ${rig.hosts.map((h) => h.name).join(', ')}`,
    });
  return host;
}
