/** BIRD (2.0): a routing daemon of a lab's node, its sessions with neighbours, and commands that it is given. */
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { startDaemon } from './daemon.ts';
import { run } from './run.ts';

/** Labs are small: a neighbour that is silent for three seconds is gone. */
const HOLD_SECONDS = 3;

/** Of every configuration. */
export const birdHead = (routerId: string): string => `log stderr { warning, error, fatal };
router id ${routerId};
protocol device { scan time 2; }
`;

export interface BgpNeighbour {
  readonly name: string;
  readonly address: string;
  readonly as: number;
  /** Own. */
  readonly localAs: number;
  /** BIRD's filters, "all" or "where …". */
  readonly imports: string;
  readonly exports: string;
}

/** A session that comes up within a second. */
export const bgpSession = ({ name, address, as, localAs, imports, exports }: BgpNeighbour): string => `
protocol bgp '${name}' {
  local as ${localAs};
  neighbor ${address} as ${as};
  hold time ${HOLD_SECONDS};
  connect retry time 1;
  connect delay time 1;
  error wait time 1, 2;
  ipv4 { import ${imports}; export ${exports}; };
}`;

export interface Bird {
  /** A command of birdc's. */
  ask(...words: readonly string[]): Promise<string>;
  /** Another configuration; what is not concerned goes on. */
  configure(text: string): Promise<void>;
  stop(): Promise<void>;
}

/** Sessions outlive the agent: a new BIRD would begin by having no routes. */
export async function startBird(workDir: string, text: string): Promise<Bird> {
  mkdirSync(workDir, { recursive: true });
  const [config, socket] = [join(workDir, 'bird.conf'), join(workDir, 'bird.ctl')];
  writeFileSync(config, text);
  const daemon = await startDaemon(workDir, 'bird', ['-f', '-c', config, '-s', socket, '-P', join(workDir, 'bird.pid')], { adopt: true });
  const ask = (...words: readonly string[]): Promise<string> => run('birdc', ['-s', socket, ...words]);
  return {
    ask,
    configure: async (next) => {
      writeFileSync(config, next);
      await ask('configure');
    },
    stop: () => daemon.stop(),
  };
}
