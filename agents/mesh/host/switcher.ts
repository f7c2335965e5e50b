/**
 * The switcher of a host: its Open vSwitch, with the flows of what it has been told, and the tunnel to other hosts. In user space a tunnel
 * leaves by a bridge only, which then has the uplink and its address; in the kernel it leaves by the uplink as it is.
 */
import { OpenFlowSwitch, type Action, type Flow, type PacketIn } from '../../lib/openflow/index.ts';
import { fatal } from '../../lib/rpc.ts';
import { run } from '../../lib/run.ts';
import { SWITCH_DEVICE } from '../../../src/core/devices.ts';
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
  /** What is under way, by key. */
  readonly #telling = new Map<string, Promise<void>>();
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
    return this.#inTurn(key, this.#know(hostsOf(item)), () => flowsOf(item, this.#traits));
  }

  async settled(): Promise<void> {
    await Promise.all(this.#telling.values());
    await this.#queue.idle();
  }

  remove(key: string): Promise<void> {
    return this.#inTurn(key, Promise.resolve(), () => []);
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

  get #traits(): HostTraits {
    const { self, forwards } = this.#config;
    return { name: self.name, advertises: this.#isUserspace, isGateway: forwards.length > 0 };
  }

  /** What is told under one key is done in its order, though hosts are looked for meanwhile. */
  #inTurn(key: string, ready: Promise<unknown>, flows: () => readonly Flow[]): Promise<void> {
    const before = this.#telling.get(key) ?? Promise.resolve();
    const done = Promise.allSettled([before, ready])
      .then(() => this.#become(key, flows()))
      .finally(() => {
        if (this.#telling.get(key) === done) this.#telling.delete(key);
      });
    this.#telling.set(key, done);
    return done;
  }

  /** Resolves when packets to them would leave. */
  async #know(hosts: readonly string[]): Promise<void> {
    const neighbours = this.#neighbours;
    if (!neighbours) return;
    const others = hosts.filter((address) => address !== this.#config.self.address);
    await Promise.all(others.map((address) => neighbours.know(address)));
  }

  async #build(ovsDir: string): Promise<void> {
    const { self } = this.#config;
    this.#isUserspace = (await this.#vsctl('get', 'Bridge', SWITCH_DEVICE, 'datapath_type')).trim() === 'netdev';
    if (this.#isUserspace) {
      await this.#bridge();
      this.#neighbours = new Neighbours(ovsDir, UNDERLAY);
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
