/** Round-trip times of a prober flow, a quantile. */
import { name, opt, percent } from '../../core/config/parts.ts';
import type { KeysOf } from '../../topology/checks.ts';
import { missing, type Check } from '../check.ts';
import { flowWindow } from '../figures.ts';
import { needsFlow } from '../problems.ts';

const keys = { flow: name('Prober flow.'), quantile: opt(percent('Quantile of the round-trip time (default 99%).')) };

export const latency: Check<KeysOf<typeof keys>> = {
  name: 'latency',
  keys,
  unit: () => 'durationUs',
  problems(target, _, phase) {
    const flow = phase.flows.find((f) => f.name === target.flow);
    if (flow && flow.tool !== 'prober')
      return [{ path: ['flow'], message: `flow "${flow.name}" measures no round trips`, hint: 'tool: prober' }];
    return needsFlow(target.flow, phase);
  },
  figures(target, evidence, phase, window) {
    const flow = phase.flows.find((f) => f.flow === target.flow);
    if (!flow) return missing(`flow ${target.flow} was not run`);
    if (!flow.rttUs || !flow.askedUs) return missing(`flow ${target.flow} measured no round trips`);
    const { fromUs, toUs } = flowWindow(target.flow, evidence, phase, window);
    const asked = flow.askedUs;
    // An unanswered request took forever: a gateway must not look faster by losing packets.
    const values = flow.rttUs.filter((_, i) => (asked[i] as number) >= fromUs && (asked[i] as number) < toUs).map((rtt) => rtt ?? Infinity);
    return values.length > 0
      ? { kind: 'quantile', values, quantile: Number.parseFloat(target.quantile ?? '99%') / 100 }
      : missing(`flow ${target.flow} asked nothing in the window`);
  },
};
