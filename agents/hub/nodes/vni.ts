/** A client VNI that may move from node to node: its device on the hub's network and on its own, with one MAC address (R1-53). */
import { run } from '../../lib/run.ts';
import type { VniPlace } from '../config.ts';

/** Devices of the hub's network and of the hosts'. */
export const VNI = { hub: 'vni-hub', lan: 'vni-lan' } as const;

/** What it has on the hub's network: nobody asks for it, but it lets switches learn where the VNI is now. */
const ANNOUNCED = '169.254.76.1/32';

/** Both devices say where they are (gratuitous ARP) when they come up. */
export async function bringVni({ mac, lan, address }: VniPlace, device: string): Promise<void> {
  await removeVni();
  const lines = [
    [VNI.hub, device, ANNOUNCED],
    [VNI.lan, lan, address],
  ].flatMap(([name, parent, own]) => [
    `link add link ${parent} name ${name} address ${mac} type macvlan mode bridge`,
    `address add ${own} dev ${name}`,
    `link set ${name} up`,
  ]);
  await run('ip', ['-batch', '-'], `${lines.join('\n')}\n`);
}

/** Its routes go with it. */
export async function removeVni(): Promise<void> {
  for (const name of Object.values(VNI)) await run('ip', ['link', 'delete', name]).catch(() => undefined);
}
