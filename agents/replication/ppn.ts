/** Packet processing node: its packet loop obeys the last directive until it is replaced; flows are looked up once. */
import { log, type AgentSetup } from '../lib/rpc.ts';
import type { AgentConfig } from './config.ts';
import { Member } from './member.ts';
import type { NodeRole } from './agent.ts';

/** A flow whose graph is not known yet is asked for again. */
const ASK_AGAIN_MS = 200;

export async function startPpn(setup: AgentSetup<AgentConfig>): Promise<NodeRole> {
  let stopped = false;
  const lookUp = async (address: string, port: number): Promise<void> => {
    const graph = await member.leader?.call.resolve({ address, port }).catch(() => null);
    if (stopped) return;
    if (typeof graph === 'number') {
      member.loop.flow(address, port, graph);
      log('info', 'flow', { flow: `${address}:${port}`, graph });
    } else {
      setTimeout(() => void lookUp(address, port), ASK_AGAIN_MS).unref();
    }
  };
  const member = await Member.start('relay', setup, { events: { onFlow: (address, port) => void lookUp(address, port) } });
  return {
    counters: () => member.counters,
    problem: () => member.problem,
    stop: async () => {
      stopped = true;
      await member.stop();
    },
  };
}
