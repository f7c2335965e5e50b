/**
 * Hosts that tunnels lead to. Open vSwitch in user space drops what it sends to one whose MAC address it has not seen; it sees the answers
 * that the kernel gets on the same bridge.
 */
import { createSocket, type Socket } from 'node:dgram';
import { until } from '../../../src/core/until.ts';
import { appctl } from '../../lib/ovs/appctl.ts';
import { log } from '../../lib/rpc.ts';

/** Nobody listens there (RFC 863), and nobody need. */
const DISCARD_PORT = 9;
const [LOOK_MS, GIVE_UP_MS] = [2, 500];

export class Neighbours {
  readonly #ovsDir: string;
  readonly #socket: Socket = createSocket('udp4').on('error', () => undefined);
  readonly #known = new Map<string, Promise<void>>();

  constructor(ovsDir: string) {
    this.#ovsDir = ovsDir;
  }

  /** Resolves when packets to it would leave, or when it does not answer. */
  know(address: string): Promise<void> {
    let known = this.#known.get(address);
    if (!known) this.#known.set(address, (known = this.#find(address)));
    return known;
  }

  close(): void {
    this.#socket.close();
  }

  async #find(address: string): Promise<void> {
    this.#socket.send('', DISCARD_PORT, address, () => undefined);
    const isThere = async (): Promise<boolean> =>
      (await appctl(this.#ovsDir, 'tnl/neigh/show')).split('\n').some((line) => line.split(/\s+/)[0] === address);

    if (await until(isThere, { withinMs: GIVE_UP_MS, everyMs: LOOK_MS })) return;
    log('warn', 'host does not answer', { address });
    this.#known.delete(address);
  }
}
