/** How a gateway reaches what the hub propagates to its network: by routes to the network's branches at AINs (R1-10, R1-17, R1-26). */
import { run } from '../../lib/run.ts';
import { branchMac, type Ain, type Network } from '../model.ts';
import { KernelRoutes } from '../../lib/kernelroutes.ts';

/** Routes carry this number (rtnetlink's protocol), so that the hub's own are told from others. */
export const HUB_PROTOCOL = 75;

/** Where a branch is reached from its network's gateway: nobody else knows the address, and nothing answers for it. */
const branchAddress = (ain: Ain): string => `169.254.75.${ain.number}`;

export interface Reached {
  readonly prefixes: readonly string[];
  /** AINs that may be sent to; none: the network is not attached. */
  readonly ains: readonly Ain[];
}

export class Branches {
  readonly routes = new KernelRoutes(HUB_PROTOCOL);
  readonly #device: string;
  readonly #source: string;

  /** `source`: an address of the network, from which the gateway's own ICMP errors come: others are not let through. */
  constructor(device: string, source: string | null) {
    this.#device = device;
    this.#source = source === null ? '' : `src ${source} `;
  }

  /** Every AIN that has, or may get, a branch for the network. */
  async know({ number }: Network, ains: readonly Ain[]): Promise<void> {
    const lines = ains.map(
      (ain) => `neigh replace ${branchAddress(ain)} lladdr ${branchMac(ain.number, number)} nud permanent dev ${this.#device}\n`,
    );
    await run('ip', ['-batch', '-'], lines.join(''));
    this.routes.forget();
  }

  async follow({ prefixes, ains }: Reached): Promise<void> {
    const hops = ains.map((ain) => `nexthop via ${branchAddress(ain)} dev ${this.#device} onlink`).join(' ');
    await this.routes.put(prefixes, `${this.#source}${hops}`);
  }
}
