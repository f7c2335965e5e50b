/** Message producer: generates messages at a set pace and sends each where it is told to, its entry PPN in the first place. */
import { parseDurationUs, parseSizeBytes } from '../../../src/core/units.ts';
import { Refusal, type AgentSetup } from '../../lib/rpc.ts';
import type { AgentConfig } from '../config.ts';
import { Member } from './member.ts';
import type { Aim } from '../protocol.ts';
import { MOST_STREAMS, sourceOf } from '../records.ts';
import type { NodeRole } from '../../lib/role.ts';
import { validated } from '../../lib/params.ts';
import { PRODUCER_OPERATIONS } from '../control/operations.ts';

/** Time to get the first message ready. */
const LEAD_NS = 5_000_000n;

export async function startProducer(setup: AgentSetup<AgentConfig>): Promise<NodeRole> {
  let aims: readonly Aim[] = [];
  let streams = 0;
  const member = await Member.start('endpoint', setup, {
    onAim: (to) => {
      aims = to;
      for (let id = 1; id <= streams; id++) member.loop.aim(streamId(id), to);
    },
  });
  const streamId = (n: number): number => sourceOf(setup.config.self.id, n);
  return {
    counters: () => ({ ...member.counters, streams }),
    problem: () => member.problem,
    stop: () => member.stop(),
    /** Send { rate: messages a second, for: a duration, size: of a message }. */
    request: async (operation, params) => {
      if (operation !== 'Send') throw new Refusal('UnknownOperation', `a producer has the operation Send, not ${operation}`);
      const { rate, size = '200B', for: duration } = validated(PRODUCER_OPERATIONS.Send, params);
      if (aims.length === 0) throw new Refusal('NotReady', 'no gateway takes the messages of this producer yet');
      if (streams === MOST_STREAMS) throw new Refusal('NoCapacity', `a producer has ${MOST_STREAMS} streams in a run`);
      streams += 1;
      const startNs = BigInt(Date.now()) * 1_000_000n + LEAD_NS;
      const [count, periodNs] = [Math.round((parseDurationUs(duration) / 1e6) * rate), Math.round(1e9 / rate)];
      member.loop.stream({ id: streamId(streams), periodNs, count, bytes: parseSizeBytes(size), startNs }, aims);
      return { stream: streamId(streams), startNs: String(startNs), count, periodNs };
    },
  };
}
