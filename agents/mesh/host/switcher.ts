/**
 * The switcher of a host: its Open vSwitch, with the flows of what it has been told, and the tunnel to other hosts. In user space a tunnel
 * leaves by a bridge only, which then has the uplink and its address; in the kernel it leaves by the uplink as it is.
 */
import { OpenFlowSwitch, type Action, type Flow, type PacketIn } from '../../lib/openflow/index.ts';
import { fatal } from '../../lib/rpc.ts';
import { run } from '../../lib/run.ts';
import { SWITCH_DEVICE } from '../../../src/fabric/devices.ts';
import type { HostConfig } from '../config.ts';
import { flowsOf, hostsOf, nothing } from './flows.ts';
import { FlowQueue, keyOf } from './flowqueue.ts';
import type { Item } from './items.ts';
import { Neighbours } from './neighbours.ts';
import { DESTINATION_COOKIE, MISS_METER, TABLE, TUNNEL, type HostTraits } from './tables.ts';

const UNDERLAY = 'underlay';
/** Packets without a flow that the on-host controller is asked about. */
const MISS_RATE_BPS = 8_000_000;

export class Switcher {
  readonly #config: HostConfig;
  readonly #db: string;
  readonly #switch: OpenFlowSwitch;
  /** Of what it has been told. */
  readonly #items = new Map<string, readonly Flow[]>();
  /** How many items want a flow, and the flow. */
  readonly #flows = new Map<string, { readonly flow: Flow; count: number }>();
  readonly #queue: FlowQueue;
  /** What is under way. */
  readonly #telling = new Set<Promise<void>>();
  /** By key: the last time that it was told anything. */
  readonly #turns = new Map<string, number>();
  #turn = 0;
  #isUserspace = false;
  #stopped = false;
  /** null: the kernel finds them itself. */
  #neighbours: Neighbours | null = null;

  private constructor(config: HostConfig, db: string, own: OpenFlowSwitch) {
    this.#config = config;
    this.#db = db;
    this.#switch = own;
    this.#queue = new FlowQueue((added, removed) => own.change(added, removed));
  }

  static async open(config: HostConfig, ovsDir: string): Promise<Switcher> {
    const own = await OpenFlowSwitch.connect(`${ovsDir}/${SWITCH_DEVICE}.mgmt`, (why) => fatal('Open vSwitch lost', why));
    const self = new Switcher(config, `unix:${ovsDir}/db.sock`, own);
    await self.#build(ovsDir);
    return self;
  }

  /** In place of what was told under this key. Resolves when the switch has it. */
  put(key: string, item: Item): Promise<void> {
    const turn = ++this.#turn;
    this.#turns.set(key, turn);
    const done = this.#put(key, item, turn).finally(() => this.#telling.delete(done));
    this.#telling.add(done);
    return done;
  }

  async settled(): Promise<void> {
    await Promise.all(this.#telling);
    await this.#queue.idle();
  }

  remove(key: string): Promise<void> {
    this.#turns.delete(key);
    return this.#become(key, []);
  }

  get flowCount(): number {
    return this.#flows.size;
  }

  /** Packets that destinations' flows have counted, by their numbers. */
  async destinations(): Promise<Map<number, number>> {
    const flows = await this.#switch.flows(TABLE.to);
    return new Map(flows.filter((f) => f.cookie >= DESTINATION_COOKIE).map((f) => [f.cookie - DESTINATION_COOKIE, f.packets]));
  }

  /** Bytes that left by ports so far: what came to endpoints. */
  sentBytes(ports: readonly string[]): Promise<Map<string, number>> {
    return this.#switch.sentBytes(ports);
  }

  onPacket(listener: (packet: PacketIn) => void): Promise<void> {
    return this.#switch.onPacket(listener);
  }

  /** Out of a port. */
  answer(frame: Buffer, port: string): void {
    void this.#switch.send(frame, [{ output: port }]).catch(() => undefined);
  }

  /** As if it had come in there again; from the tunnel with this key. */
  resend(frame: Buffer, port: string, vnid: number): void {
    const key: Action[] = port === TUNNEL ? [{ set: 'tunnelId', value: vnid }] : [];
    void this.#switch.send(frame, [...key, { to: 'table' }], port).catch(() => undefined);
  }

  async stop(): Promise<void> {
    this.#stopped = true;
    await this.#queue.idle();
    await this.#switch.replace([]);
    this.#switch.close();
    await this.#vsctl('--if-exists', 'del-port', SWITCH_DEVICE, TUNNEL);
    if (this.#neighbours) await this.#unbridge();
    this.#neighbours?.close();
  }

  async #put(key: string, item: Item, turn: number): Promise<void> {
    const { self, forwards } = this.#config;
    if (this.#neighbours)
      await Promise.all(
        hostsOf(item)
          .filter((address) => address !== self.address)
          .map((address) => this.#neighbours?.know(address)),
      );
    const traits: HostTraits = { name: self.name, advertises: this.#isUserspace, isGateway: forwards.length > 0 };
    // What was told meanwhile is newer.
    if (this.#turns.get(key) === turn) await this.#become(key, flowsOf(item, traits));
  }

  async #build(ovsDir: string): Promise<void> {
    const { self } = this.#config;
    this.#isUserspace = (await this.#vsctl('get', 'Bridge', SWITCH_DEVICE, 'datapath_type')).trim() === 'netdev';
    if (this.#isUserspace) {
      await this.#bridge();
      this.#neighbours = new Neighbours(ovsDir);
    }
    const tunnel = ['type=vxlan', `options:local_ip=${self.address}`, 'options:remote_ip=flow', 'options:key=flow'];
    await this.#vsctl('--may-exist', 'add-port', SWITCH_DEVICE, TUNNEL, '--', 'set', 'Interface', TUNNEL, ...tunnel);
    await this.#switch.replace(nothing(this.#isUserspace));
    await this.#switch.removeMeter(MISS_METER).catch(() => undefined);
    await this.#switch.putMeter({ id: MISS_METER, rateBps: MISS_RATE_BPS, burstBits: MISS_RATE_BPS / 10 });
  }

  async #bridge(): Promise<void> {
    const { device, mac, cidr, mtu } = this.#config.uplink;
    const bridge = ['datapath_type=netdev', `other-config:hwaddr="${mac}"`, 'fail_mode=standalone'];
    await this.#vsctl(
      ...['--may-exist', 'add-br', UNDERLAY, '--', 'set', 'Bridge', UNDERLAY, ...bridge],
      ...['--', '--may-exist', 'add-port', UNDERLAY, device],
      ...['--', 'set', 'Interface', UNDERLAY, `mtu_request=${mtu}`],
    );
    await run('ip', ['address', 'flush', 'dev', device]);
    await run('ip', ['address', 'replace', cidr, 'dev', UNDERLAY]);
    await run('ip', ['link', 'set', 'dev', UNDERLAY, 'up']);
  }

  async #unbridge(): Promise<void> {
    const { device, cidr } = this.#config.uplink;
    await this.#vsctl('--if-exists', 'del-br', UNDERLAY);
    await run('ip', ['address', 'replace', cidr, 'dev', device]);
  }

  #vsctl(...args: readonly string[]): Promise<string> {
    return run('ovs-vsctl', [`--db=${this.#db}`, ...args]);
  }

  /** Items share flows, such as that of a network's tunnel key; the last one that wants a flow takes it along. */
  #become(key: string, flows: readonly Flow[]): Promise<void> {
    if (this.#stopped) return Promise.resolve();
    const before = this.#items.get(key) ?? [];
    const [added, removed]: [Flow[], Flow[]] = [[], []];
    for (const flow of flows) {
      const known = this.#flows.get(keyOf(flow));
      if (!known || JSON.stringify(known.flow) !== JSON.stringify(flow)) added.push(flow);
      this.#flows.set(keyOf(flow), { flow, count: (known?.count ?? 0) + 1 });
    }
    for (const flow of before) {
      const known = this.#flows.get(keyOf(flow))!;
      if (--known.count > 0) continue;
      this.#flows.delete(keyOf(flow));
      removed.push(flow);
    }
    if (flows.length > 0) this.#items.set(key, flows);
    else this.#items.delete(key);
    // What is wanted may have been told just now, and not be there yet.
    return added.length + removed.length === 0 ? this.#queue.idle() : this.#queue.push(added, removed);
  }
}
