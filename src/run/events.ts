/** Makes the events of a phase happen, at their time, and records when they did. */
import { sleep, type Context } from '../core/context.ts';
import { NetrigError } from '../core/errors.ts';
import type { EventRecord } from '../evidence/records.ts';
import { impairCommands } from '../fabric/impair.ts';
import { farEnd } from '../fabric/links/site.ts';
import type { DeployedLab } from '../rig/deployment/deployed-lab.ts';
import { planSystems } from '../systems/registry.ts';
import type { Supervisor } from '../systems/supervisor.ts';
import { reconfigured } from '../topology/events.ts';
import type { Action, Lab, LinkChange, Phase } from '../topology/model.ts';
import { isDelayed, without } from '../topology/lab.ts';
import { SerialQueue } from '../core/serial.ts';

type Outcome = EventRecord['outcome'];
const DONE: Outcome = { state: 'done', answer: null };

const IN_TURN: ReadonlySet<Action['kind']> = new Set(['configure', 'leave', 'join', 'impair']);

export class EventRunner {
  readonly #ctx: Context;
  readonly #deployed: DeployedLab;
  readonly #netem: (machine: string) => boolean;
  readonly #supervisor: Supervisor | undefined;
  /** The lab as configured now, and the hosts that are unplugged. */
  #lab: Lab;
  readonly #absent = new Set<string>();
  /** Links that do not do what they declare. */
  readonly #impaired = new Set<string>();

  constructor(ctx: Context, deployed: DeployedLab, lab: Lab, supervisor: Supervisor | undefined, netem: (machine: string) => boolean) {
    this.#netem = netem;
    this.#ctx = ctx;
    this.#deployed = deployed;
    this.#lab = lab;
    this.#supervisor = supervisor;
  }

  /** `startedMs`: start of the phase on performance.now()'s clock. */
  async run(phase: Phase, startedMs: number, signal: AbortSignal): Promise<EventRecord[]> {
    // What changes the plan, or a link in steps, is done one after the other; a signal or a cable waits for nobody.
    const planning = new SerialQueue();
    return Promise.all(
      phase.events.map(async ({ atUs, what }): Promise<EventRecord> => {
        await sleep(Math.max(0, startedMs + atUs / 1000 - performance.now()), signal);
        const beganMs = performance.now();
        const outcome = await (IN_TURN.has(what.kind) ? planning.run(() => this.#make(what)) : this.#make(what));
        return {
          action: what,
          plannedUs: atUs,
          beganUs: Math.round((beganMs - startedMs) * 1000),
          tookUs: Math.round((performance.now() - beganMs) * 1000),
          outcome,
        };
      }),
    );
  }

  /** The next cell of this deployment finds all hosts plugged in, and links as declared; false: it would not. */
  async restore(): Promise<boolean> {
    const declared = (id: string) =>
      (this.#lab.fabric.links.find((l) => l.id === id)?.impairments ?? []).flatMap((to, i) =>
        isDelayed(to) ? [{ direction: i as 0 | 1, to }] : [],
      );
    const done = await Promise.allSettled([
      this.#plug([...this.#absent], 'up'),
      ...[...this.#impaired].map((id) => this.#impair(id, declared(id))),
    ]);
    return done.every((d) => d.status === 'fulfilled');
  }

  async #make(what: Action): Promise<Outcome> {
    switch (what.kind) {
      case 'impair':
        await this.#impair(what.link, what.changes);
        break;
      case 'request':
        return this.#ask(what);
      case 'kill':
        this.#supervisor?.kill(what.node, what.downUs / 1000);
        break;
      case 'pause':
        this.#supervisor?.pause(what.node);
        break;
      case 'resume':
        this.#supervisor?.resume(what.node);
        break;
      case 'down':
      case 'up':
        await this.#setLink(what.end.node, what.end.interface, what.kind);
        break;
      case 'configure':
        this.#lab = reconfigured(this.#lab, what.patches);
        await this.#tell();
        break;
      case 'leave':
      case 'join': {
        const changed = what.nodes.filter((node) => this.#absent.has(node) === (what.kind === 'join'));
        for (const node of changed) {
          if (what.kind === 'leave') this.#absent.add(node);
          else this.#absent.delete(node);
        }
        await this.#plug(changed, what.kind === 'leave' ? 'down' : 'up');
        await this.#tell();
        break;
      }
    }
    return DONE;
  }

  async #impair(link: string, changes: readonly LinkChange[]): Promise<void> {
    const machineOf = (name: string) => ({ ...this.#deployed.machine(name).runtime, netem: this.#netem(name) });
    const commands = impairCommands(this.#deployed.lab, this.#lab.fabric, this.#deployed.assignments, machineOf, link, changes);
    this.#impaired.add(link);
    await Promise.all(commands.map(({ host, argv, stdin }) => this.#deployed.host(host).exec(argv, { stdin, signal: this.#ctx.signal })));
  }

  async #ask({ system, node, operation, params, expected }: Action & { kind: 'request' }): Promise<Outcome> {
    if (!this.#supervisor) throw new NetrigError('AGENT_FAILED', `no agent to ask for ${operation}`);
    const { answer, refused } = await this.#supervisor.request(system, node, operation, params);
    if (refused !== expected) {
      const text =
        refused === null
          ? `${node} answered ${operation}, which was to be refused (${expected})`
          : `${node} refused ${operation}: ${refused}: ${String(answer)}`;
      this.#ctx.events.emit({ type: 'note', level: 'warn', text });
    }
    return refused === null ? { state: 'done', answer } : { state: 'refused', code: refused, answer };
  }

  async #plug(nodes: readonly string[], state: 'up' | 'down'): Promise<void> {
    await Promise.all(
      nodes.flatMap((node) =>
        (this.#lab.fabric.nodes.find((n) => n.name === node)?.interfaces ?? []).map((itf) => this.#setLink(node, itf.name, state)),
      ),
    );
  }

  /** Pulls the cable at its far end: the near one loses its carrier, and keeps its addresses and routes. */
  async #setLink(node: string, itf: string, state: 'up' | 'down'): Promise<void> {
    const far = farEnd(this.#lab.fabric, this.#deployed.assignments, { node, interface: itf });
    if (far) await this.#deployed.host(far.host).exec(['ip', 'link', 'set', 'dev', far.device, state], { signal: this.#ctx.signal });
  }

  async #tell(): Promise<void> {
    await this.#supervisor?.update(await planSystems(without(this.#lab, this.#absent)));
  }
}
