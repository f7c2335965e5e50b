/** Packet processing node: its packet loop obeys the last directive until it is replaced; flows are looked up once. */
import { log, type AgentSetup } from '../../lib/rpc.ts';
import type { AgentConfig } from '../config.ts';
import { paceByKernel } from './kernelrelease.ts';
import { Member } from './member.ts';
import type { NodeRole } from '../../lib/role.ts';

/** A flow whose graph is not known yet is asked for again. */
const ASK_AGAIN_MS = 200;
const TIMER_MS = 20;
const TIMER_BUCKETS = 24;

/** How late this process's own timers are, by powers of two in microseconds: what holds would be without the packet loop. */
function watchTimers(): { readonly lateUs: readonly number[]; stop(): void } {
  const lateUs = new Array<number>(TIMER_BUCKETS).fill(0);
  let timer: NodeJS.Timeout | undefined;
  const next = (): void => {
    const dueMs = performance.now() + TIMER_MS;
    timer = setTimeout(() => {
      const us = Math.abs(performance.now() - dueMs) * 1000;
      lateUs[Math.min(TIMER_BUCKETS - 1, us < 1 ? 0 : Math.floor(Math.log2(us)) + 1)]! += 1;
      next();
    }, TIMER_MS);
  };
  next();
  return { lateUs, stop: () => clearTimeout(timer) };
}

export async function startPpn(setup: AgentSetup<AgentConfig>): Promise<NodeRole> {
  let stopped = false;
  /** Graphs of flows that were looked up, by "address port". */
  const flows = new Map<string, number>();
  const assign = (address: string, port: number, graph: number): void => {
    flows.set(`${address} ${port}`, graph);
    member.loop.flow(address, port, graph);
  };
  const lookUp = async (address: string, port: number): Promise<void> => {
    const answers = await Promise.all(member.leaders.map((leader) => leader.call.resolve({ address, port }).catch(() => null)));
    const graph = answers.find((answer) => typeof answer === 'number');
    if (stopped) return;
    if (graph !== undefined) {
      assign(address, port, graph);
      log('info', 'flow', { flow: `${address}:${port}`, graph });
    } else {
      setTimeout(() => void lookUp(address, port), ASK_AGAIN_MS).unref();
    }
  };
  const addressOf = new Map(setup.config.nodes.map((n) => [n.id, n.address]));
  const member = await Member.start('relay', setup, {
    events: { onFlow: (address, port) => void lookUp(address, port) },
    // Its entry has another graph now: flows that are known follow, and are not asked for again.
    onActivate: ({ producer, graph }) => {
      for (const [flow, before] of flows) {
        const [address = '', port] = flow.split(' ');
        if (address === addressOf.get(producer) && before !== graph) assign(address, Number(port), graph);
      }
    },
  });
  const pacing = setup.config.release === 'kernel' ? await paceByKernel(setup.config.self.bind) : null;
  if (pacing) member.loop.releaseByKernel();
  const timers = watchTimers();
  return {
    counters: () => ({
      ...member.counters,
      kernelRelease: pacing ? 1 : 0,
      ...Object.fromEntries(timers.lateUs.map((n, i) => [`timerErrorUs${2 ** i}`, n])),
    }),
    problem: () => member.problem,
    stop: async () => {
      stopped = true;
      timers.stop();
      await member.stop();
      await pacing?.stop();
    },
  };
}
