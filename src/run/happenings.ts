/** Makes the events of a phase happen, at their time, and records when they did. */
import { sleep, type Context } from '../core/context.ts';
import type { EventRecord } from '../evidence/cell.ts';
import { farEnd } from '../fabric/plan.ts';
import type { Rig } from '../rig/rig.ts';
import { planSystems } from '../systems/registry.ts';
import type { Supervisor } from '../systems/supervisor.ts';
import { describeHappening, reconfigured } from '../topology/events.ts';
import { without, type Happening, type Lab, type Phase } from '../topology/model.ts';

const PLANNING: ReadonlySet<Happening['kind']> = new Set(['configure', 'leave', 'join']);

export class Happenings {
  readonly #ctx: Context;
  readonly #rig: Rig;
  readonly #supervisor: Supervisor | undefined;
  /** The lab as configured now, and the hosts that are unplugged. */
  #lab: Lab;
  readonly #absent = new Set<string>();

  constructor(ctx: Context, rig: Rig, lab: Lab, supervisor: Supervisor | undefined) {
    this.#ctx = ctx;
    this.#rig = rig;
    this.#lab = lab;
    this.#supervisor = supervisor;
  }

  /** `startedMs`: start of the phase on performance.now()'s clock. */
  async run(phase: Phase, startedMs: number, signal: AbortSignal): Promise<EventRecord[]> {
    // What changes the plan is done one after the other; a signal or a cable waits for nobody.
    let planning: Promise<void> = Promise.resolve();
    return Promise.all(phase.events.map(async ({ atUs, what }): Promise<EventRecord> => {
      await sleep(Math.max(0, startedMs + atUs / 1000 - performance.now()), signal);
      const beganMs = performance.now();
      const make = () => this.#make(what);
      if (PLANNING.has(what.kind)) await (planning = planning.then(make));
      else await make();
      return { what: describeHappening(what), plannedUs: atUs, beganUs: Math.round((beganMs - startedMs) * 1000), tookUs: Math.round((performance.now() - beganMs) * 1000) };
    }));
  }

  /** The next cell of this deployment finds all hosts plugged in. */
  async restore(): Promise<void> {
    await this.#plug([...this.#absent], 'up').catch(() => undefined);
  }

  async #make(what: Happening): Promise<void> {
    switch (what.kind) {
      case 'kill': return this.#supervisor?.kill(what.node, what.downUs / 1000);
      case 'pause': return this.#supervisor?.pause(what.node);
      case 'resume': return this.#supervisor?.resume(what.node);
      case 'down':
      case 'up': return this.#setLink(what.end.node, what.end.interface, what.kind);
      case 'configure':
        this.#lab = reconfigured(this.#lab, what.patches);
        return this.#tell();
      case 'leave':
      case 'join': {
        const changed = what.nodes.filter((node) => this.#absent.has(node) === (what.kind === 'join'));
        for (const node of changed) {
          if (what.kind === 'leave') this.#absent.add(node);
          else this.#absent.delete(node);
        }
        await this.#plug(changed, what.kind === 'leave' ? 'down' : 'up');
        return this.#tell();
      }
    }
  }

  async #plug(nodes: readonly string[], state: 'up' | 'down'): Promise<void> {
    await Promise.all(nodes.flatMap((node) => (this.#lab.fabric.nodes.find((n) => n.name === node)?.interfaces ?? []).map((itf) => this.#setLink(node, itf.name, state))));
  }

  /** Pulls the cable at its far end: the near one loses its carrier, and keeps its addresses and routes. */
  async #setLink(node: string, itf: string, state: 'up' | 'down'): Promise<void> {
    const far = farEnd(this.#lab.fabric, this.#rig.seats, { node, interface: itf });
    if (far) await this.#rig.host(far.host).exec(['ip', 'link', 'set', 'dev', far.device, state], { signal: this.#ctx.signal });
  }

  async #tell(): Promise<void> {
    await this.#supervisor?.update(await planSystems(without(this.#lab, this.#absent)));
  }
}
