/**
 * Hosts that tunnels lead to. Open vSwitch in user space drops what it sends to one whose MAC address it does not know. The kernel finds
 * it, on the same bridge; what it knows already it does not ask for again, so that Open vSwitch is told.
 */
import { createSocket, type Socket } from 'node:dgram';
import { Type } from 'typebox';
import { parsed } from '../../../src/core/lightjson.ts';
import { until } from '../../../src/core/until.ts';
import { appctl } from '../../lib/ovs/appctl.ts';
import { log } from '../../lib/rpc.ts';
import { run } from '../../lib/run.ts';

/** Nobody listens there (RFC 863), and nobody need. */
const DISCARD_PORT = 9;
const [LOOK_MS, GIVE_UP_MS, AGAIN_MS] = [2, 500, 500];

/** As `ip -json neighbour` has them; one that does not answer has no address. */
const neighbours = Type.Array(Type.Object({ lladdr: Type.Optional(Type.String()) }));

export class Neighbours {
  readonly #ovsDir: string;
  readonly #bridge: string;
  readonly #socket: Socket = createSocket('udp4').on('error', () => undefined);
  readonly #known = new Map<string, Promise<void>>();
  readonly #timers = new Set<NodeJS.Timeout>();

  /** `bridge`: with the uplink. */
  constructor(ovsDir: string, bridge: string) {
    this.#ovsDir = ovsDir;
    this.#bridge = bridge;
  }

  /** Resolves when packets to it would leave, or when it does not answer. */
  know(address: string): Promise<void> {
    let known = this.#known.get(address);
    if (!known) this.#known.set(address, (known = this.#find(address)));
    return known;
  }

  close(): void {
    for (const timer of this.#timers) clearTimeout(timer);
    this.#socket.close();
  }

  async #find(address: string): Promise<void> {
    this.#socket.send('', DISCARD_PORT, address, () => undefined);
    let mac: string | undefined;
    const isFound = async (): Promise<boolean> => {
      const [entry] = parsed(neighbours, await run('ip', ['-json', 'neighbour', 'show', 'to', address, 'dev', this.#bridge]));
      mac = entry?.lladdr;
      return mac !== undefined;
    };
    if (await until(isFound, { withinMs: GIVE_UP_MS, everyMs: LOOK_MS })) {
      await appctl(this.#ovsDir, 'tnl/neigh/set', this.#bridge, address, mac!);
      return;
    }
    log('warn', 'host does not answer', { address });
    this.#known.delete(address);
    // Nobody waits for it any more, but packets may go there: it may come later than this host.
    const timer = setTimeout(() => {
      this.#timers.delete(timer);
      void this.know(address);
    }, AGAIN_MS);
    this.#timers.add(timer);
  }
}
