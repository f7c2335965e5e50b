/** BIRD: what a BGP speaker of the lab says and hears (R3-1, R3-31). */
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { BgpSpeaker } from '../config.ts';
import { startDaemon } from '../../lib/daemon.ts';
import { run } from '../../lib/run.ts';

/** Labs are small: a neighbour that is silent for three seconds is gone. */
const HOLD_SECONDS = 3;

/**
 * Routes of its links and those that it hears go to its neighbours and to the kernel. Anycast addresses are its own word:
 * they are in a protocol of their own, which can be withdrawn, and the kernel does not get them.
 */
export function birdConfig(routerId: string, { as, neighbours, anycast }: BgpSpeaker): string {
  const peer = ({ name, address, as: theirs }: BgpSpeaker['neighbours'][number]): string => `
protocol bgp 'to-${name}' {
  local as ${as};
  neighbor ${address} as ${theirs};
  hold time ${HOLD_SECONDS};
  connect retry time 1;
  connect delay time 1;
  error wait time 1, 2;
  ipv4 { import all; export all; };
}`;
  return `log stderr { warning, error, fatal };
router id ${routerId};
protocol device { scan time 2; }
protocol direct { ipv4; interface "*"; }
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
  mkdirSync(workDir, { recursive: true });
  const [config, socket] = [join(workDir, 'bird.conf'), join(workDir, 'bird.ctl')];
  writeFileSync(config, birdConfig(routerId, speaker));
  // Sessions outlive the agent: a new BIRD would begin by having no routes.
  const daemon = await startDaemon(workDir, 'bird', ['-f', '-c', config, '-s', socket, '-P', join(workDir, 'bird.pid')], { adopt: true });
  return {
    advertise: async (on) => {
      await run('birdc', ['-s', socket, on ? 'enable' : 'disable', 'anycast']);
    },
    stop: () => daemon.stop(),
  };
}
