/** The kernel's packet scheduler that sends at a set time, where there is one: qdisc fq with SO_TXTIME. */
import { networkInterfaces } from 'node:os';
import { log } from '../../lib/rpc.ts';
import { run } from '../../lib/run.ts';

/** All that a PPN holds is one flow to fq: its limits are the PPN's buffer, not the scheduler's. */
const MOST_PACKETS = '100000';

const tc = (...args: string[]): Promise<string> => run('tc', ['qdisc', ...args]);

/** Gives the interface of an address the qdisc fq. null: this kernel has none, and what is held stays in the packet loop. */
export async function paceByKernel(address: string): Promise<{ stop(): Promise<void> } | null> {
  const device = Object.entries(networkInterfaces()).find(([, own]) => own?.some((a) => a.address === address))?.[0];
  try {
    if (device === undefined) throw new Error(`no interface has ${address}`);
    await tc('replace', 'dev', device, 'root', 'fq', 'limit', MOST_PACKETS, 'flow_limit', MOST_PACKETS);
    // The next experiment on this node finds it as it was.
    return {
      stop: async () => {
        await tc('delete', 'dev', device, 'root').catch(() => undefined);
      },
    };
  } catch (error) {
    log('warn', 'no kernel release', { address, why: (error as Error).message.trim() });
    return null;
  }
}
