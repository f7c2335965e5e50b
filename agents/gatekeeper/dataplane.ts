/** The kernel's part on one server: HTB tree, steering, logical switches; built, changed in place, and removed again. */
import { BatchChannel } from '../lib/batch.ts';
import { OpenFlowSwitch, type Flow } from '../lib/openflow/index.ts';
import { fatal } from '../lib/rpc.ts';
import { run } from '../lib/run.ts';
import type { AgentConfig, Vnic } from './config.ts';
import { MAX_VNICS, removeTree, removeVnic, treeLines, vnicLines } from './egress.ts';
import { Limiters, type LimitedVnic } from './limiters.ts';
import { removeTable, steeringTable, steerVnic, unsteerVnic } from './steering.ts';
import { flowChanges, logicalSwitches, PLAIN_SWITCH } from './switching.ts';

interface PluggedVnic extends LimitedVnic {
  readonly vnic: Vnic;
}

export class Dataplane {
  #config: AgentConfig;
  /** null: the server has no Open vSwitch, its vNICs are wired by somebody else. */
  #switch: OpenFlowSwitch | null = null;
  readonly #tc = new BatchChannel(['tc', '-force', '-batch', '-']);
  readonly #nft = new BatchChannel(['nft', '-i']);
  readonly #vnics = new Map<string, PluggedVnic>();
  readonly #freeSlots = Array.from({ length: MAX_VNICS }, (_, i) => MAX_VNICS - 1 - i);
  #flows: readonly Flow[] = PLAIN_SWITCH;
  readonly limiters: Limiters;

  private constructor(config: AgentConfig) {
    this.#config = config;
    this.limiters = new Limiters(
      { uplink: config.uplink, increase: config.increase, timeoutMs: config.limiterTimeoutMs },
      this.#vnics,
      this.#tc,
      this.#nft,
    );
  }

  /** Replaces what a predecessor that was killed may have left (R4-16). */
  static async build(config: AgentConfig, ovsDir: string | null): Promise<Dataplane> {
    const plane = new Dataplane(config);
    await run('nft', ['-f', '-'], steeringTable(config.uplink.device, possiblePairs(config), config.counterTimeoutMs));
    await clearTree(config);
    await run('tc', ['-batch', '-'], `${treeLines(config.uplink).join('\n')}\n`);
    for (const vnic of config.vnics) plane.#plug(vnic);
    plane.#flows = logicalSwitches(config.uplink.device, config.vnics, config.remotes);
    if (ovsDir !== null)
      plane.#switch = await OpenFlowSwitch.connect(`${ovsDir}/${config.bridge}.mgmt`, (why) => fatal('Open vSwitch lost', why));
    await plane.#switch?.replace(plane.#flows);
    return plane;
  }

  /** Contracts change in place; vNICs that came are plugged in, those that went are removed with their limiters. */
  async update(config: AgentConfig): Promise<void> {
    const wanted = new Map(config.vnics.map((vnic) => [vnic.mac, vnic]));
    for (const [mac, { vnic, slot }] of this.#vnics) {
      const next = wanted.get(mac);
      if (!next) this.#unplug(vnic, slot);
      else if (next.minBps !== vnic.minBps || next.maxBps !== vnic.maxBps) {
        this.#vnics.set(mac, { vnic: next, slot });
        this.#tc.send(vnicLines('change', config.uplink, slot, next));
      }
    }
    for (const vnic of config.vnics) if (!this.#vnics.has(vnic.mac)) this.#plug(vnic);
    this.#config = config;
    const flows = logicalSwitches(config.uplink.device, config.vnics, config.remotes);
    const { added, removed } = flowChanges(this.#flows, flows);
    this.#flows = flows;
    if (added.length + removed.length > 0) await this.#switch?.change(added, removed);
  }

  get errors(): number {
    return this.#tc.errors + this.#nft.errors;
  }

  get lastError(): string {
    return this.#tc.lastError || this.#nft.lastError;
  }

  /** CPU seconds of the interpreters of tc and nft. */
  get cpuSeconds(): number {
    return this.#tc.cpuSeconds + this.#nft.cpuSeconds;
  }

  /** Back to a plain switch without a tree. */
  async remove(): Promise<void> {
    await Promise.all([this.#tc.close(), this.#nft.close()]);
    await clearTree(this.#config);
    await run('nft', ['-f', '-'], removeTable).catch(() => undefined);
    await this.#switch?.replace(PLAIN_SWITCH);
    this.#switch?.close();
  }

  #plug(vnic: Vnic): void {
    const slot = this.#freeSlots.pop();
    if (slot === undefined) throw new Error(`more than ${MAX_VNICS} vNICs on one server`);
    this.#vnics.set(vnic.mac, { vnic, slot });
    this.#tc.send(vnicLines('add', this.#config.uplink, slot, vnic));
    this.#nft.send([steerVnic(vnic.mac, slot)]);
  }

  #unplug(vnic: Vnic, slot: number): void {
    this.limiters.removeOf(vnic.mac);
    this.#nft.send([unsteerVnic(vnic.mac)]);
    this.#tc.send(removeVnic(this.#config.uplink, slot));
    this.#vnics.delete(vnic.mac);
    this.#freeSlots.push(slot);
  }
}

/** Logical switches let nothing else through. */
function possiblePairs({ vnics, remotes }: AgentConfig): number {
  return vnics.reduce((sum, vnic) => sum + remotes.filter((r) => r.tenant === vnic.tenant).length, 0);
}

/** Where there is no tree there is nothing to clear. */
async function clearTree({ uplink }: AgentConfig): Promise<void> {
  await run('tc', ['-batch', '-'], `${removeTree(uplink).join('\n')}\n`).catch(() => undefined);
}
