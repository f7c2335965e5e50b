/** What a BGP speaker of the lab says and hears (R3-1, R3-31). */
import type { BgpSpeaker } from '../config.ts';
import { bgpSession, birdHead, startBird } from '../../lib/bird.ts';

/**
 * Routes of its links and those that it hears go to its neighbours and to the kernel. Anycast addresses are its own word:
 * they are in a protocol of their own, which can be withdrawn, and the kernel does not get them.
 */
export function birdConfig(routerId: string, { as, neighbours, anycast }: BgpSpeaker): string {
  const peer = ({ name, address, as: theirs }: BgpSpeaker['neighbours'][number]): string =>
    bgpSession({ name: `to-${name}`, address, as: theirs, localAs: as, imports: 'all', exports: 'all' });
  return `${birdHead(routerId)}protocol direct { ipv4; interface "*"; }
protocol kernel { ipv4 { import none; export where source != RTS_STATIC; }; }
protocol static anycast {
  ipv4;
${anycast.map((address) => `  route ${address}/32 blackhole;`).join('\n')}
}
${neighbours.map(peer).join('\n')}
`;
}

export interface Bgp {
  /** Of all its anycast addresses. */
  advertise(on: boolean): Promise<void>;
  stop(): Promise<void>;
}

export async function startBgp(workDir: string, routerId: string, speaker: BgpSpeaker): Promise<Bgp> {
  const bird = await startBird(workDir, birdConfig(routerId, speaker));
  return {
    advertise: async (on) => {
      await bird.ask(on ? 'enable' : 'disable', 'anycast');
    },
    stop: () => bird.stop(),
  };
}
