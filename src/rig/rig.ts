/** A deployed lab: hosts of its nodes, application of its plan, and teardown that needs nothing but the journal. */
import { existsSync, readdirSync, readFileSync, readlinkSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { mapConcurrent, sleep, throwIfAborted, type Context } from '../core/context.ts';
import { asNetrigError, NetrigError } from '../core/errors.ts';
import type { Host } from './host.ts';
import { isAlive, Journal, journalledNamespaces, listLabs, readRecord, removeState, stateDirOf } from './journal.ts';
import { LAB_ENV, LocalHost } from './local.ts';
import { hostName, type DeployPlan, type Step, type StepHost } from './steps.ts';

const NETNS_DIR = '/run/netns';
/** Chains in flight: enough to hide process start-up, few enough for two cores. */
const CONCURRENCY = 8;

/** Blanks and dots cannot be in lab or node names, so these never collide. */
export const namespaceOf = (lab: string, node: string): string => `nr.${lab}.${node}`;
export const wiresNamespace = (lab: string): string => `nr.${lab}.+wires`;

export class Rig {
  readonly lab: string;
  readonly #hosts = new Map<string, Host>();

  constructor(lab: string) {
    this.lab = lab;
  }

  static machine(lab: string | null = null): Host {
    return new LocalHost({ label: 'this machine', lab });
  }

  host(at: StepHost): Host {
    const key = `${at.on}/${hostName(at)}`;
    let host = this.#hosts.get(key);
    if (!host) {
      host = at.on === 'machine'
        ? Rig.machine(this.lab)
        : new LocalHost({ label: `${hostName(at)} of lab ${this.lab}`, lab: this.lab, netns: at.on === 'node' ? namespaceOf(this.lab, at.node) : wiresNamespace(this.lab) });
      this.#hosts.set(key, host);
    }
    return host;
  }

  node(name: string): Host {
    return this.host({ on: 'node', node: name });
  }

  static netnsPath(lab: string, node: string): string {
    return join(NETNS_DIR, namespaceOf(lab, node));
  }
}

/** Deploys, or removes what it had built and throws. */
export async function deploy(ctx: Context, plan: DeployPlan, topologyPath: string): Promise<Rig> {
  const journal = Journal.create(plan.lab, topologyPath);
  const rig = new Rig(plan.lab);
  try {
    for (const stage of plan.stages) {
      throwIfAborted(ctx.signal);
      await mapConcurrent(stage.chains, CONCURRENCY, async (chain) => {
        for (const step of chain) {
          throwIfAborted(ctx.signal);
          journal.before(step);
          await applyStep(rig, step);
          journal.after();
        }
      });
    }
    return rig;
  } catch (error) {
    await destroyLab(plan.lab, { force: true });
    throw error;
  }
}

async function applyStep(rig: Rig, step: Step): Promise<void> {
  try {
    await rig.host(step.host).exec(step.argv, { timeoutMs: 30_000, ...(step.stdin === undefined ? {} : { stdin: step.stdin }), ...(step.env ? { env: step.env } : {}) });
  } catch (thrown) {
    const error = asNetrigError(thrown);
    if (error.code !== 'HOST_COMMAND_FAILED') throw error;
    throw new NetrigError('STEP_FAILED', `${step.title}: ${error.message}`, { cause: error });
  }
}

/** Removes everything the journal names: processes first, then namespaces (and with them links, switches, qdiscs), then files. */
export async function destroyLab(lab: string, options: { force?: boolean } = {}): Promise<void> {
  if (!existsSync(stateDirOf(lab))) throw new NetrigError('LAB_UNKNOWN', `no lab "${lab}" on this machine`, { hint: `labs: ${listLabs().join(', ') || 'none'}` });
  const record = readRecord(lab);
  if (!options.force && record && record.owner.pid !== process.pid && isAlive(record.owner)) {
    throw new NetrigError('LAB_EXISTS', `lab "${lab}" is in use by a running netrig (process ${record.owner.pid})`, { hint: 'stop that run first, or netrig destroy --force' });
  }
  const namespaces = journalledNamespaces(lab).filter((name) => existsSync(join(NETNS_DIR, name)));
  await killLabProcesses(lab, namespaces);
  if (namespaces.length > 0) {
    // -force: a namespace whose mount was cut short by a crash must not keep the others.
    await Rig.machine().exec(['ip', '-force', '-batch', '-'], { stdin: namespaces.map((name) => `netns del ${name}\n`).join(''), allowFailure: true });
  }
  const left = namespaces.filter((name) => existsSync(join(NETNS_DIR, name)));
  if (left.length > 0) throw new NetrigError('STEP_FAILED', `could not remove the namespaces ${left.join(', ')}`, { hint: 'see what holds them: ip netns pids NAME' });
  removeState(lab);
}

async function killLabProcesses(lab: string, namespaces: readonly string[]): Promise<void> {
  const inside = async () => {
    const pids = new Set(taggedProcesses(lab));
    const inodes = new Set(namespaces.flatMap(namespaceInode));
    if (inodes.size > 0) for (const pid of processesIn(inodes)) pids.add(pid);
    pids.delete(process.pid);
    return [...pids];
  };
  const deadline = Date.now() + 5000;
  for (let pids = await inside(); pids.length > 0; pids = await inside()) {
    for (const pid of pids) {
      try { process.kill(pid, 'SIGKILL'); } catch { /* gone already */ }
    }
    if (Date.now() > deadline) throw new NetrigError('TIMEOUT', `processes ${pids.join(', ')} of lab "${lab}" do not end`);
    await sleep(10);
  }
}

const allPids = (): number[] => readdirSync('/proc').filter((name) => /^\d+$/.test(name)).map(Number);

export function taggedProcesses(lab: string): number[] {
  const mark = `${LAB_ENV}=${lab}`;
  return allPids().filter((pid) => {
    try {
      return readFileSync(`/proc/${pid}/environ`, 'latin1').split('\0').includes(mark) && !isZombie(pid);
    } catch {
      return false;
    }
  });
}

function isZombie(pid: number): boolean {
  const stat = readFileSync(`/proc/${pid}/stat`, 'latin1');
  return stat.slice(stat.lastIndexOf(')') + 2, stat.lastIndexOf(')') + 3) === 'Z';
}

function namespaceInode(name: string): string[] {
  try {
    return [String(statSync(join(NETNS_DIR, name)).ino)];
  } catch {
    return [];
  }
}

function processesIn(inodes: ReadonlySet<string>): number[] {
  return allPids().filter((pid) => {
    try {
      const match = /\[(\d+)\]/.exec(readlinkSync(`/proc/${pid}/ns/net`));
      return match !== null && inodes.has(match[1] as string);
    } catch {
      return false;
    }
  });
}
