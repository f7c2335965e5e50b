/** The machines that labs go to, connected and probed: one of a rig file, or the one that netrig runs on. */
import { isDeepStrictEqual } from 'node:util';
import { Type } from 'typebox';
import { parseJson } from '../core/json.ts';
import { ClockWatch, type ClockPort } from '../clocks/watch.ts';
import { stage, type Context } from '../core/context.ts';
import { NetrigError } from '../core/errors.ts';
import { probeFabric, type FabricCapabilities } from '../fabric/capabilities.ts';
import { planDeployment, type PlannedMachine } from '../fabric/plan.ts';
import { planTrunks, type DataPort } from '../fabric/trunks.ts';
import { connectMachines, disconnect, type Machines } from '../rig/machines/connect.ts';
import { NODE_IMAGE } from '../rig/images/docker/image.ts';
import { deploy } from '../rig/deployment/deploy.ts';
import { Journal, type LabClaim } from '../rig/labs/journal.ts';
import type { Machine } from '../rig/machines/machine.ts';
import { placeNodes } from '../rig/placement.ts';
import type { DeployedLab } from '../rig/deployment/deployed-lab.ts';
import { findHost, type RigPlan } from '../rig/rigfile.ts';
import { LOCAL, assignmentOf, type Assignments } from '../rig/labs/assignment.ts';
import type { DeployPlan } from '../rig/labs/steps.ts';
import { LeaseRenewal } from '../rig/leases/renewal.ts';
import type { Capability, ClockSettings, Fabric, Lab, Tolerance } from '../topology/model.ts';

export interface MachineFacts {
  readonly fabric: FabricCapabilities;
  readonly capabilities: ReadonlySet<Capability>;
  /** null: not on the data network. */
  readonly data: DataPort | null;
}

/** A lab bound to machines. */
export interface SitePlan {
  readonly plan: DeployPlan;
  readonly assignments: Assignments;
}

export interface TestbedOptions {
  /** null: nothing will be changed there. Without a rig file there is nothing to lease. */
  readonly lease: { readonly purpose: string; readonly waitMs: number } | null;
}

export class Testbed implements AsyncDisposable {
  readonly rig: RigPlan | null;
  readonly machines: Machines;
  readonly facts: ReadonlyMap<string, MachineFacts>;
  readonly #renewal: LeaseRenewal | null;
  #clocks: { readonly watch: ClockWatch; readonly settings: ClockSettings } | null = null;

  private constructor(rig: RigPlan | null, machines: Machines, facts: ReadonlyMap<string, MachineFacts>, renewal: LeaseRenewal | null) {
    this.rig = rig;
    this.machines = machines;
    this.facts = facts;
    this.#renewal = renewal;
  }

  /** `rig` null: this machine. */
  static async open(ctx: Context, rig: RigPlan | null, { lease }: TestbedOptions): Promise<Testbed> {
    const connect = () => connectMachines(rig);
    const machines =
      rig === null ? await connect() : await stage(ctx, 'connect', connect, { detail: `${rig.hosts.length} machines of ${rig.name}` });
    let renewal: LeaseRenewal | null = null;
    try {
      if (rig !== null && lease !== null)
        renewal = await LeaseRenewal.acquire(machines, lease.purpose, lease.waitMs, ctx.signal, (text) =>
          ctx.events.emit({ type: 'note', level: 'info', text }),
        );
      const facts = await Promise.all(
        [...machines.values()].map(async (machine) => [machine.name, await probeMachine(machine, rig)] as const),
      );
      return new Testbed(rig, machines, new Map(facts), renewal);
    } catch (error) {
      await renewal?.end();
      await disconnect(machines);
      throw error;
    }
  }

  /** Ends with the lease: nothing may be done on the rig any more. */
  contextOf(ctx: Context): Context {
    return this.#renewal ? { ...ctx, signal: AbortSignal.any([ctx.signal, this.#renewal.lost]) } : ctx;
  }

  /** Why the rig is ours no longer. */
  get failure(): NetrigError | null {
    return this.#renewal?.lost.aborted ? (this.#renewal.lost.reason as NetrigError) : null;
  }

  /** The lab that was deployed stays, and with it the lease. */
  async hold(lab: string): Promise<void> {
    Journal.of(lab).keep();
    await this.#renewal?.hold();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#clocks?.watch.stop();
    await this.#renewal?.end();
    await disconnect(this.machines);
  }

  /** What a topology tolerates, and what these machines cost. */
  tolerance(own: Tolerance): Tolerance {
    const { rate, delayUs } = this.rig?.tolerance ?? { rate: 0, delayUs: 0 };
    return { ...own, rate: own.rate + rate, delayUs: own.delayUs + delayUs };
  }

  plan({ name, fabric }: Pick<Lab, 'name' | 'fabric'>): SitePlan {
    const assignments = this.#assignments(fabric);
    const ports = new Map([...this.facts].flatMap(([machine, { data }]) => (data ? [[machine, data]] : [])));
    const machines = new Map(
      [...this.machines.values()].map((m): [string, PlannedMachine] => [
        m.name,
        {
          containers: { image: this.#imageOf(m.name), mounts: m.runtime.mounts },
          capabilities: this.factsOf(m.name).fabric,
          stateRoot: m.runtime.stateRoot,
          nativeDir: m.runtime.nativeDir,
        },
      ]),
    );
    return {
      assignments,
      plan: planDeployment({
        lab: name,
        fabric,
        assignments,
        machines,
        trunks: planTrunks(fabric, assignments, ports, this.rig?.cables ?? []),
      }),
    };
  }

  /** Clocks are compared from here on if the lab spreads over several machines; `gate`: and must be good. */
  async deploy(
    ctx: Context,
    lab: Pick<Lab, 'name' | 'fabric'> & Partial<Pick<Lab, 'clocks'>>,
    topology: string,
    options: { gate?: boolean; replace?: boolean } = {},
  ): Promise<DeployedLab> {
    const { plan, assignments } = this.plan(lab);
    const carriers = new Set(Object.values(assignments).map((assignment) => assignment.machine));
    if (this.rig && lab.clocks && carriers.size > 1)
      await this.#watchClocks(
        ctx,
        this.rig,
        { ...lab.clocks, sync: options.gate ? (lab.clocks.sync ?? this.rig.sync) : 'none' },
        assignments,
      );
    const claim: LabClaim = {
      lab: lab.name,
      topology,
      fabric: lab.fabric,
      assignments,
      rig: this.rig?.path ?? null,
      leases: this.#renewal?.tokens ?? {},
    };
    return deploy(ctx, plan, claim, this.machines, {
      ...(this.#clocks ? { clocks: this.#clocks.watch } : {}),
      replace: options.replace ?? false,
    });
  }

  #imageOf(machine: string): string {
    return (this.rig && findHost(this.rig, machine).image) ?? NODE_IMAGE;
  }

  /** null: all nodes share one clock. */
  get clocks(): ClockWatch | null {
    return this.#clocks?.watch ?? null;
  }

  async #watchClocks(ctx: Context, rig: RigPlan, settings: ClockSettings, assignments: Assignments): Promise<void> {
    if (isDeepStrictEqual(this.#clocks?.settings, settings)) return;
    await this.#clocks?.watch.stop();
    const leader = settings.grandmaster === null ? rig.grandmaster : assignmentOf(assignments, settings.grandmaster).machine;
    const ports = rig.hosts.map((host): ClockPort => {
      const data = this.factsOf(host.name).data;
      if (!data || host.clockDevice === null)
        throw new NetrigError(
          'PLACEMENT_IMPOSSIBLE',
          `${host.name} has no address on the data network: its clock cannot be compared with the others'`,
          { hint: `hosts.${host.name}.data: { device: … } in the rig file` },
        );
      return { machine: this.machines.get(host.name) as Machine, device: host.clockDevice, address: data.address };
    });
    const reference = ports.find((p) => p.machine.name === leader) as ClockPort;
    const watch = await ClockWatch.start(
      ctx,
      reference,
      ports.filter((p) => p !== reference),
      settings,
    );
    this.#clocks = { watch, settings };
  }

  factsOf(machine: string): MachineFacts {
    const facts = this.facts.get(machine);
    if (!facts) throw new NetrigError('INTERNAL', `no facts of machine ${machine}`);
    return facts;
  }

  #assignments(fabric: Fabric): Assignments {
    if (this.rig === null) return Object.fromEntries(fabric.nodes.map((n) => [n.name, { machine: LOCAL, container: false }]));
    return placeNodes(
      fabric,
      this.rig.hosts.map((host) => ({ host, capabilities: this.factsOf(host.name).capabilities })),
    );
  }
}

async function probeMachine(machine: Machine, rig: RigPlan | null): Promise<MachineFacts> {
  const fabric = await probeFabric(machine);
  const host = rig && findHost(rig, machine.name);
  if (host?.carries === 'containers') await requireImage(machine, host.image ?? NODE_IMAGE);
  const capabilities = new Set<Capability>([
    ...(fabric.ovsKernel ? ['ovs-kernel' as const] : []),
    ...(fabric.netem ? ['netem' as const] : []),
    ...(host?.carries === 'containers' ? ['containers' as const] : []),
  ]);
  return { fabric, capabilities, data: host?.data ? await probeDataPort(machine, host.data) : null };
}

async function requireImage(machine: Machine, image: string): Promise<void> {
  if ((await machine.engineVersion()) === null)
    throw new NetrigError('CAPABILITY_MISSING', `${machine.label}: no Docker Engine answers at ${machine.runtime.engine}`, {
      hint: 'start it, or engine: own in the rig file and netrig rig up',
    });
  if (!(await machine.hasImage(image)))
    throw new NetrigError('CAPABILITY_MISSING', `${machine.label}: the engine has no image ${image}`, {
      hint: image === NODE_IMAGE ? 'netrig image build RIG, or netrig rig up' : `docker pull ${image}`,
    });
}

/** What is read of `ip -j`. */
const ipAddresses = Type.Array(
  Type.Object({ mtu: Type.Number(), addr_info: Type.Array(Type.Object({ family: Type.String(), local: Type.Optional(Type.String()) })) }),
);
const ipLinks = Type.Array(Type.Object({ address: Type.String(), mtu: Type.Number() }));

export async function probeDataPort(machine: Machine, { device, address }: { device: string; address: string | null }): Promise<DataPort> {
  const { stdout, exitCode, stderr } = await machine.exec(['ip', '-j', 'addr', 'show', 'dev', device], { allowFailure: true });
  const [nic] = exitCode === 0 ? parseJson(ipAddresses, stdout) : [];
  const own = address ?? nic?.addr_info.find((a) => a.family === 'inet')?.local;
  if (!nic || own === undefined)
    throw new NetrigError(
      'CAPABILITY_MISSING',
      `${machine.label}: data network: ${nic ? `${device} has no IPv4 address` : stderr.trim()}`,
      { hint: `hosts.${machine.name}.data in the rig file` },
    );
  return { address: own, mtu: nic.mtu };
}

/** MAC and MTU of a NIC that a cable is plugged into; null: there is no such NIC, or a lab has it. */
export async function probeCable(machine: Machine, nic: string): Promise<string | null> {
  const { stdout, exitCode } = await machine.exec(['ip', '-j', 'link', 'show', 'dev', nic], { allowFailure: true });
  if (exitCode !== 0) return null;
  const [found] = parseJson(ipLinks, stdout);
  return `${found?.address}, MTU ${found?.mtu}`;
}
