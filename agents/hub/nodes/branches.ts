/** How a gateway reaches what the hub propagates to its network: by routes to the network's branches at AINs (R1-10, R1-17, R1-26). */
import { run } from '../../lib/run.ts';
import { branchMac, type Ain, type Network } from '../model.ts';
import { putRoutes, routesOf } from './routes.ts';

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
  readonly #device: string;
  readonly #source: string;
  #routes: readonly string[] = [];
  /** What was followed last; '': the kernel may have lost it. */
  #followed = '';

  /** `source`: an address of the network, from which the gateway's own ICMP errors come: others are not let through. */
  constructor(device: string, source: string | null) {
    this.#device = device;
    this.#source = source === null ? '' : `src ${source} `;
  }

  get routes(): readonly string[] {
    return this.#routes;
  }

  /** As the kernel has them. */
  installed(): Promise<string[]> {
    return routesOf(HUB_PROTOCOL);
  }

  /** The device has been made, or was down. */
  forget(): void {
    this.#followed = '';
  }

  /** Every AIN that has, or may get, a branch for the network. */
  async know({ number }: Network, ains: readonly Ain[]): Promise<void> {
    const lines = ains.map(
      (ain) => `neigh replace ${branchAddress(ain)} lladdr ${branchMac(ain.number, number)} nud permanent dev ${this.#device}\n`,
    );
    await run('ip', ['-batch', '-'], lines.join(''));
    this.forget();
  }

  async follow({ prefixes, ains }: Reached): Promise<void> {
    const hops = ains.map((ain) => `nexthop via ${branchAddress(ain)} dev ${this.#device} onlink`).join(' ');
    const now = JSON.stringify([prefixes, hops]);
    if (now === this.#followed) return;
    await putRoutes(HUB_PROTOCOL, prefixes, `${this.#source}${hops}`);
    [this.#routes, this.#followed] = [prefixes, now];
  }
}
