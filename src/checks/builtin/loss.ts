/** Datagrams of a flow that were lost, counted at both ends. */
import { name } from '../../core/config/parts.ts';
import type { KeysOf, TargetProblem } from '../../topology/checks.ts';
import { missing, type Check } from '../check.ts';
import { EDGE_US, findFlow, flowWindow } from '../figures.ts';
import { needsFlow, refuseKeys } from '../problems.ts';

const keys = { flow: name('UDP flow.') };

export const loss: Check<KeysOf<typeof keys>> = {
  name: 'loss',
  keys,
  countsDatagrams: true,
  unit: () => 'fraction',
  problems(target, _, phase) {
    const problems: TargetProblem[] = needsFlow(target.flow, phase);
    const flow = phase.flows.find((f) => f.name === target.flow);
    if (flow?.tool === 'iperf3')
      problems.push(
        ...refuseKeys(target, ['from', 'to'], 'iperf3 counts losses over the whole flow; tool: mgen or prober counts them in a window'),
      );
    if (flow && flow.tool !== 'prober' && (flow.protocol !== 'udp' || flow.tool === 'netperf'))
      problems.push({
        path: ['flow'],
        message: `flow "${flow.name}" counts no datagrams`,
        hint: 'protocol: udp with tool: iperf3 or mgen, or tool: prober',
      });
    if (target['at-most'] === '0%')
      problems.push({
        path: ['at-most'],
        message: 'no finite number of datagrams shows a loss of exactly 0 %',
        hint: 'give a bound above it, such as 0.1%',
      });
    return problems;
  },
  figures(target, evidence, phase, window) {
    const flow = findFlow(phase, target.flow);
    if (typeof flow === 'string') return missing(flow);
    if (flow.uncounted !== undefined) return missing(`flow ${target.flow}: ${flow.uncounted}`);
    const { fromUs, toUs } = flowWindow(target.flow, evidence, phase, window);
    const trials = (flow.datagrams ?? [])
      .filter((d) => d.startS * 1e6 >= fromUs - EDGE_US && d.startS * 1e6 < toUs - EDGE_US)
      .map((d) => ({ count: d.lost, of: d.sent }));
    return trials.some((t) => t.of > 0) ? { kind: 'share', trials } : missing(`flow ${target.flow} sent no datagram in the window`);
  },
};
